"""What somebody may have meant by a name that is not there."""

from collections.abc import Collection
from difflib import get_close_matches


def did_you_mean(name: str, known: Collection[str], *, likeness: float = 0.8) -> str:
    """The question, with a blank before it; empty if no known name is like this one.

    Args:
        name: The name.
        known: The names that there are.
        likeness: How like it one has to be, from 0 to 1.
    """
    near = get_close_matches(name, known, 1, likeness)
    return f" Did you mean {near[0]!r}?" if near else ""
