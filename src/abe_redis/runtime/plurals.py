"""Numbers in sentences."""


def count(number: int, one: str, many: str | None = None) -> str:
    """A number with its noun, singular or plural."""
    return f"{number} {one if number == 1 else many or one + 's'}"
