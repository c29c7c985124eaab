"""Regular expressions that are compiled on first use.

Compiling the long ones takes longer than a short command, and most texts need few of them.
"""

import re
from typing import Any, cast


def deferred(expression: str, flags: int = 0) -> re.Pattern[str]:
    """What `re.compile` would return, which is called when a method is first used."""
    return cast("re.Pattern[str]", _OnUse(expression, flags))


class _OnUse:
    """Becomes like the compiled expression, method by method."""

    def __init__(self, expression: str, flags: int) -> None:
        self._source = (expression, flags)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a compiled expression has
        found = getattr(re.compile(*self._source), name)  # which re remembers for the next method
        setattr(self, name, found)
        return found
