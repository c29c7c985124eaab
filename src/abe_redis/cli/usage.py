"""What is wrong with a command line, in words of people; and which option they probably meant."""

import re
from typing import Any

_WORDS = (
    (re.compile(r"Input should be a valid integer.*", re.DOTALL), "it must be a whole number."),
    (re.compile(r"Input should be a valid number.*", re.DOTALL), "it must be a number."),
)
"""What the parser says of a value, and what it means."""

_MEANT = {
    "--consumer-group": "--group",
    "--debug": "--verbose",
    "--force": "--yes",
    "--id": "--event-id",
    "--json-output": "--json",
    "--last": "--count",
    "--limit": "--count",
    "--max": "--count",
    "--number": "--count",
    "--output": "--json",
    "--queue": "--stream",
    "--tail": "--follow",
    "--threads": "--concurrency",
    "--topic": "--stream",
    "--type": "--event-type",
    "--watch": "--follow",
    "--workers": "--concurrency",
}
"""Per option that people know from other programs, ours."""


def in_words(error: Any) -> str:  # noqa: ANN401 - an error of click, wherever typer has it
    """The error as a sentence."""
    meant = _MEANT.get(getattr(error, "option_name", ""))
    if meant is not None and any(meant in one.opts for one in error.ctx.command.params):
        return f"No such option: {error.option_name}. Did you mean {meant}?"
    said = str(error.format_message())
    for theirs, ours in _WORDS:
        said = theirs.sub(ours, said)
    return said
