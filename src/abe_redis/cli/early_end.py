"""Signals while a command is still starting.

SIGTERM ends one that serves with 0, as it does later; Ctrl-C says that nothing was done.
"""

import os
import signal
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

_SAID = b"abe-redis: SIGTERM came before it had started; it ends.\n"

_INTERRUPTED = b"abe-redis: Interrupted before it had started; nothing was done.\n"


def at_sigterm(arguments: Sequence[str]) -> None:
    """End with 0 at SIGTERM until the command waits for signals itself, if it is one that serves.

    Args:
        arguments: The command line, without the program's name.
    """
    serves = "worker" in arguments or "listen" in arguments or {"mcp", "--http"}.issubset(arguments)
    if serves and sys.platform != "win32" and _may_replace(signal.SIGTERM, signal.SIG_DFL):
        signal.signal(signal.SIGTERM, _end)


def at_interrupt() -> None:
    """Say at Ctrl-C that nothing was done, until `begin` is called."""
    if _may_replace(signal.SIGINT, signal.default_int_handler):
        signal.signal(signal.SIGINT, _interrupt)


def begin() -> None:
    """Note that the command begins, so that it says itself what it has done."""
    if _may_replace(signal.SIGINT, _interrupt):
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _may_replace(number: int, handler: object) -> bool:
    """Whether a signal has this handler still; only the main thread may give it another one."""
    return threading.current_thread() is threading.main_thread() and signal.getsignal(number) is handler


def _interrupt(*_: object) -> NoReturn:
    with suppress(OSError):
        os.write(2, _INTERRUPTED)
    os._exit(130)  # an import that is interrupted may not pass an exception on


def _end(*_: object) -> NoReturn:
    with suppress(OSError):
        os.write(2, _SAID)  # a signal may interrupt a write to sys.stderr, which then refuses another
    raise SystemExit(0)
