"""Counting what an attack tried, and what it got."""


class Tally:
    """The attempts of one attack, and those that got through."""

    def __init__(self, attack: str) -> None:
        self._attack = attack
        self._attempts = 0
        self._escapes: list[str] = []

    def tried(self, what: str, *, escaped: bool) -> None:
        """Count an attempt."""
        self._attempts += 1
        if escaped:
            self._escapes.append(what)

    def check(self, *, least: int = 1) -> None:
        """Say how it went, and fail when anything escaped, or when too little was tried."""
        print(f"{self._attack}: {self._attempts} attempts, {len(self._escapes)} escapes")  # noqa: T201 - whoever runs it reads it
        assert not self._escapes, (self._attack, self._escapes[:20])
        assert self._attempts >= least, (self._attack, self._attempts)
