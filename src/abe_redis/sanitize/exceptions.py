"""Exceptions as a line, a trace or a place: bounded, and without what looks like a secret."""

import os
import traceback
from collections import Counter
from pathlib import Path
from types import FrameType, TracebackType

from abe_redis.runtime.groups import leaves
from abe_redis.sanitize.secrets import mask

_MOST = 300
_MOST_OF_A_GROUP = 5
_MOST_OF_A_TRACE = 8000

_OURS = str(Path(__file__).parents[1]) + os.sep
_PYTHONS = str(Path(os.__file__).parent) + os.sep


def describe(error: BaseException) -> str:
    """An exception's type and message in a line; of a group, those of what is in it, each once."""
    if isinstance(error, BaseExceptionGroup):
        found = Counter(describe(one) for one in leaves(error))
        each = [text if count == 1 else f"{text} ({count} times)" for text, count in found.items()]
        more = f"; and {len(each) - _MOST_OF_A_GROUP} more" if len(each) > _MOST_OF_A_GROUP else ""
        return f"{type(error).__name__} of {'; '.join(each[:_MOST_OF_A_GROUP])}"[:_MOST] + more
    if isinstance(error, SystemExit):
        return f"sys.exit({error.code!r})"[:_MOST]
    message = mask(" ".join(str(error).split()))
    return f"{type(error).__name__}: {message[:_MOST]}" if message else type(error).__name__


def trace(error: BaseException, *, most: int = _MOST_OF_A_TRACE) -> str:
    """Where it was raised, without what looks like a secret; its end, which says most."""
    return mask("".join(traceback.format_exception(error)))[-most:].rstrip()


def place(error: BaseException) -> str | None:
    """Where it was raised in the user's own code, as in `bot.py:12 in handle`; None when it was in none.

    What is neither ours nor Python's nor installed is the user's own. Of a group, and of an exception that
    another one caused, the first such place counts.
    """
    seen: BaseException | None = error
    while seen is not None:
        for one in leaves(seen):
            if (found := _own(one.__traceback__)) is not None:
                return _place(*found)
        seen = seen.__cause__
    return None


def place_of_frame(frame: FrameType) -> str:
    """Where a running thread is: in the user's own code if it came through that."""
    stack = [_where(*one) for one in traceback.walk_stack(frame)]
    return _place(*next((one for one in stack if is_own(one[0])), stack[0]))


def is_own(filename: str) -> bool:
    """Whether a file is the user's own code, by where it is."""
    return not filename.startswith(("<", _OURS, _PYTHONS)) and "-packages" not in filename


def _own(trace_of: TracebackType | None) -> tuple[str, int, str] | None:
    stack = [_where(*one) for one in traceback.walk_tb(trace_of)]
    return next((one for one in reversed(stack) if is_own(one[0])), None)


def _where(frame: FrameType, line: int) -> tuple[str, int, str]:
    return frame.f_code.co_filename, line, frame.f_code.co_name


def _place(filename: str, line: int, function: str) -> str:
    path = Path(filename)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{line} in {function}"
