"""How a command says that it failed: a sentence on stderr and, with --json, one object on stdout."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import typer

from abe_redis.cli.output import plain, say

if TYPE_CHECKING:
    from pydantic import BaseModel


MAY_BE_DONE = "Interrupted. It may be done all the same: `abe-redis audit -n 1` shows it then."
"""Of a change in one step."""


class _Failure:
    """What is known of the command that runs, for the case that it fails."""

    def __init__(self) -> None:
        self.part: BaseModel | None = None
        self.interrupted: str | None = None


_OURS = _Failure()


def keep(result: "BaseModel") -> None:
    """Keep what was done before a failure that follows: with --json it stands beside the error."""
    _OURS.part = result


def tell(sentences: Sequence[str], result: "BaseModel | None" = None) -> None:
    """Say why the command failed.

    Args:
        sentences: The reasons; they may quote what others wrote.
        result: What was done all the same, if anything.
    """
    said = [plain(sentence) for sentence in sentences]
    for sentence in said:
        _on_stderr(sentence)
    _on_stdout(" ".join(said), result)


def fail(sentence: str, result: "BaseModel | None" = None) -> NoReturn:
    """Say what failed, and end with 1.

    Args:
        sentence: What failed.
        result: What was done all the same, for --json.

    Raises:
        typer.Exit: Always.
    """
    tell([sentence], result)
    raise typer.Exit(1)


def interrupted(sentence: str) -> None:
    """Say what Ctrl-C, SIGTERM or SIGHUP ended, and how far it was; the caller raises it again."""
    _OURS.interrupted = plain(sentence)
    _on_stderr(_OURS.interrupted)


@contextmanager
def when_interrupted(sentence: str) -> Iterator[None]:
    """Say this sentence if Ctrl-C, SIGTERM or SIGHUP ends a block."""
    try:
        yield
    except KeyboardInterrupt:
        interrupted(sentence)
        raise


def end_interrupted() -> None:
    """Say that the command was interrupted, unless it has said more itself."""
    if _OURS.interrupted is None:
        tell(["Interrupted."])
    else:
        _on_stdout(_OURS.interrupted, None)


def is_json() -> bool:
    """Whether the command line asks for JSON; also one that is wrong."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _on_stderr(sentence: str) -> None:
    try:
        say(f"abe-redis: {sentence}", to_stderr=True)
    except OSError:
        sys.stderr = None  # the exit code alone says what is wrong


def _on_stdout(sentence: str, result: "BaseModel | None") -> None:
    from abe_redis.sanitize.untrusted import ascii_json  # noqa: PLC0415

    if not is_json() or sys.stdout is None:
        return
    part = result or _OURS.part
    fields = {} if part is None else part.model_dump(mode="json")
    try:
        say(ascii_json({"error": sentence, **fields}, indent=None if part is None else 2))
    except OSError:
        sys.stdout = None
    except typer.Exit:
        pass  # who reads it has left
