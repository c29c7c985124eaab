"""SIGTERM while a command that serves is still starting: it ends with 0, as it does later."""

import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

_SAID = b"abe-redis: SIGTERM came before it had started; it ends.\n"


def at_sigterm(arguments: Sequence[str]) -> None:
    """End with 0 at SIGTERM until the command waits for signals itself, if it is one that serves.

    Args:
        arguments: The command line, without the program's name.
    """
    serves = "worker" in arguments or "listen" in arguments or {"mcp", "--http"}.issubset(arguments)
    if serves and sys.platform != "win32" and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> NoReturn:
    with suppress(OSError):
        os.write(2, _SAID)  # a signal may interrupt a write to sys.stderr, which then refuses another
    raise SystemExit(0)
