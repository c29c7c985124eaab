"""Exceptions as one line, as a trace or as a place: bounded, and with secrets masked.

To read an exception runs people's own code, which may raise anything. Nothing is awaited meanwhile, so
whatever is raised comes from that code.
"""

import os
import traceback
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

from abe_redis.runtime.exception_groups import leaves
from abe_redis.sanitize.secrets import mask

_MOST = 300
_MOST_OF_A_GROUP = 5
_MOST_OF_A_TRACE = 8000

_MOST_READ = 20_000
"""Characters of a message that are searched for secrets; beyond what is shown they are a margin."""
_MOST_READ_OF_A_TRACE = 100_000
_MOST_READ_OF_A_GROUP = 100

_OURS = str(Path(__file__).parents[1]) + os.sep
_PYTHONS = str(Path(os.__file__).parent) + os.sep


def describe(error: BaseException) -> str:
    """An exception's type and message on one line; for a group, those of its members, each once."""
    if isinstance(error, BaseExceptionGroup):
        members, more = _members(error)
        return f"{type(error).__name__} of {members}"[:_MOST] + more
    if isinstance(error, SystemExit):
        return f"sys.exit({_masked(_code(error))})"[:_MOST]
    message = _masked(_message(error))
    return f"{type(error).__name__}: {message[:_MOST]}" if message else type(error).__name__


def _members(error: BaseExceptionGroup[BaseException]) -> tuple[str, str]:
    """The first members of a group, unless it fails to give them; and how many are left."""
    try:
        failures = list(leaves(error))
    except BaseException:  # noqa: BLE001 - people's own `exceptions`
        return "exceptions that cannot be shown", ""
    found = Counter(describe(one) for one in failures[:_MOST_READ_OF_A_GROUP])
    each = [text if count == 1 else f"{text} ({count} times)" for text, count in found.items()]
    left = len(each) - _MOST_OF_A_GROUP + len(failures[_MOST_READ_OF_A_GROUP:])
    more = f"; and {left} more" if left > 0 else ""
    return "; ".join(each[:_MOST_OF_A_GROUP]), more


def _masked(said: str) -> str:
    """The beginning of a message on one line, without secrets."""
    return mask(" ".join(_as_text(said[:_MOST_READ]).split()))


def _message(error: BaseException) -> str:
    """The text of an exception, unless it fails to give one."""
    try:
        return str(error)
    except BaseException:  # noqa: BLE001 - people's own `__str__`
        return "(it has a message that cannot be shown)"


def _code(error: SystemExit) -> str:
    try:
        return repr(error.code)
    except BaseException:  # noqa: BLE001 - people's own `__repr__`
        return "something that cannot be shown"


def _as_text(said: str) -> str:
    """A lone surrogate, which no log and no Redis takes, is written as its escape."""
    return said.encode(errors="backslashreplace").decode()


def trace(error: BaseException, *, most: int = _MOST_OF_A_TRACE) -> str:
    """The end of its traceback, which says most, with secrets masked."""
    try:
        read = "".join(traceback.format_exception(error))[-_MOST_READ_OF_A_TRACE:]
    except BaseException:  # noqa: BLE001 - people's own code in it, or more nested than Python can tell
        read = describe(error)
    return mask(_as_text(read))[-most:].rstrip()


def place(error: BaseException) -> str | None:
    """The place in the user's own code that raised it, such as `bot.py:12 in handle`, or None.

    Code that is neither ours nor Python's nor an installed package's is the user's own. For a group, and for
    an exception with a cause, the first such place counts.
    """
    try:
        found = (_own(one.__traceback__) for one in _with_causes(error))
        return next((_place(*one) for one in found if one is not None), None)
    except BaseException:  # noqa: BLE001 - people's own code, or a directory that is gone
        return None


def _with_causes(error: BaseException) -> Iterator[BaseException]:
    seen = set[int]()
    cause: BaseException | None = error
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield from leaves(cause)
        cause = cause.__cause__


def place_of_frame(frame: FrameType) -> str:
    """The place at which a running thread is, in the user's own code if possible."""
    stack = [_where(*one) for one in traceback.walk_stack(frame)]
    return _place(*next((one for one in stack if is_own(one[0])), stack[0]))


def is_own(filename: str) -> bool:
    """Whether a file is the user's own code, judged by its directory."""
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
