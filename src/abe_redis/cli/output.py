"""What commands print: text in which nothing can control the terminal, and JSON."""

import os
import sys
from typing import TYPE_CHECKING

from abe_redis.errors import AbeRedisError

if TYPE_CHECKING:
    from pydantic import BaseModel


def wraps() -> bool:
    """Whether sentences are wrapped: on a terminal, or where COLUMNS says how wide one is.

    Elsewhere a sentence is one line, so that `grep` finds its words.
    """
    return (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ


def say(text: str, *, to_stderr: bool = False) -> None:
    """Print. All output of the commands goes through here: nothing in it can control the terminal.

    Raises:
        AbeRedisError: Whoever started the command has closed its stdout, so that an answer would be lost.
    """
    from abe_redis.sanitize.untrusted import lines  # noqa: PLC0415

    if sys.stdout is None and not to_stderr:
        raise AbeRedisError("stdout is closed, so not everything could be written.")
    print(lines(text), file=sys.stderr if to_stderr else sys.stdout, flush=True)


def json_of(result: "BaseModel", *, indent: int | None = None) -> str:
    """A result as JSON in ASCII, which no terminal and no code page changes."""
    from abe_redis.sanitize.untrusted import ascii_json  # noqa: PLC0415

    return ascii_json(result.model_dump(mode="json"), indent=indent)


def plain(text: str) -> str:
    """Untrusted text on one line, with what is hidden or would control a terminal shown, as in `[U+202E]`."""
    from abe_redis.sanitize.untrusted import line  # noqa: PLC0415

    return line(text)
