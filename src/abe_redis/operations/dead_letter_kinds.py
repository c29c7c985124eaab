"""Counts dead letters of one kind: same stream, group, handler, type and similar reason."""

import re

from abe_redis.sanitize.secrets import mask
from abe_redis.schemas import DeadLetter, DeadLetterKind, DeadSummaryResult

_VARYING = re.compile(r"""'[^']{1,200}'|"[^"]{1,200}"|\b[0-9a-fA-F-]*\d[0-9a-fA-F.:-]*""")
"""Parts in which similar reasons differ: numbers, ids, text in quotes."""
_MOST_KINDS = 10_000
_OTHERS = "(other reasons: there are too many kinds)"


def alike(reason: str) -> str:
    """A reason without secrets, and without the parts in which similar reasons differ."""
    return _VARYING.sub("#", mask(reason))


def hides_all(kind: str) -> bool:
    """Whether the reason of a kind has no words left behind the exception's name, as in `KeyError: #`."""
    return "#" in kind and not re.search(r"\w", kind.rpartition(": ")[2].replace("#", ""))


def says(reason: str, words: str) -> bool:
    """Whether a reason, or the reason of its kind, contains these words in any case, as both are shown."""
    sought = " ".join(words.casefold().removesuffix("…").split())
    return any(sought in " ".join(one.casefold().split()) for one in (reason, alike(reason)))


class DeadLetterKinds:
    """The kinds of the dead letters that were added so far."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str | None, ...], DeadLetterKind] = {}
        self._total = 0

    def add(self, letter: DeadLetter) -> None:
        """Count a dead letter. Of each stream, add the older ones first."""
        self._total += 1
        key = (letter.stream, letter.group, letter.handler, letter.event_type, alike(letter.reason))
        kind = self._kinds.get(key)
        if kind is None and len(self._kinds) >= _MOST_KINDS:
            key = (letter.stream, None, None, None, _OTHERS)
            kind = self._kinds.get(key)
        if kind is None:
            self._kinds[key] = DeadLetterKind(
                stream=letter.stream,
                group=key[1],
                handler=key[2],
                event_type=key[3],
                reason=key[4] or "",
                count=1,
                first_at=letter.buried_at,
                last_at=letter.buried_at,
                last_id=letter.id,
                sample=_sample(letter, key[4] or ""),
            )
        else:
            kind.count += 1
            kind.last_at, kind.last_id = letter.buried_at, letter.id
            kind.sample = _sample(letter, kind.reason)

    def result(self, count: int) -> DeadSummaryResult:
        """The most frequent kinds, `count` of them at most."""
        found = sorted(self._kinds.values(), key=lambda kind: -kind.count)
        return DeadSummaryResult(kinds=found[:count], total=self._total, omitted=len(found[count:]))


def _sample(letter: DeadLetter, kind: str) -> str | None:
    return mask(letter.reason) if hides_all(kind) else None
