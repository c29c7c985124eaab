"""Signals while a command is still starting, before anything of it is imported.

SIGTERM ends one that serves with 0, as it does later; Ctrl-C says that nothing was done. This imports little,
since a Ctrl-C that comes before it shows Python's traceback.
"""

import os
import signal
import sys

TYPE_CHECKING = False  # typing takes as long to import as all of this
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

_SAID = "SIGTERM came before it had started; it ends."

_INTERRUPTED = "Interrupted before it had started; nothing was done."


def at_sigterm(arguments: "Sequence[str]") -> None:
    """End with 0 at SIGTERM until the command waits for signals itself, if it is one that serves.

    Args:
        arguments: The command line, without the program's name.
    """
    serves = "worker" in arguments or "listen" in arguments or {"mcp", "--http"}.issubset(arguments)
    if serves and sys.platform != "win32":
        _replace(signal.SIGTERM, signal.SIG_DFL, _end)


def at_interrupt() -> None:
    """Say at Ctrl-C that nothing was done, until `begin` is called."""
    _replace(signal.SIGINT, signal.default_int_handler, _interrupt)


def begin() -> None:
    """Note that the command begins, so that it says itself what it has done."""
    _replace(signal.SIGINT, _interrupt, signal.default_int_handler)


def _replace(number: int, handler: object, by: "Any") -> None:  # noqa: ANN401 - of signal
    """Give a signal another handler if it has this one still; only the main thread may do that."""
    if signal.getsignal(number) is handler:
        try:  # noqa: SIM105 - contextlib takes as long to import as all of this
            signal.signal(number, by)
        except ValueError:  # another thread
            pass


def _interrupt(*_: object) -> "NoReturn":
    _write(2, f"abe-redis: {_INTERRUPTED}")
    if "--json" in sys.argv:
        _write(1, f'{{"error": "{_INTERRUPTED}"}}')
    os._exit(130)  # an import that is interrupted may not pass an exception on


def _end(*_: object) -> "NoReturn":
    _write(2, f"abe-redis: {_SAID}")
    raise SystemExit(0)


def _write(descriptor: int, line: str) -> None:
    """Write past sys.stdout and sys.stderr: a signal may interrupt a write to these, which refuse another."""
    try:  # noqa: SIM105 - as above
        os.write(descriptor, f"{line}\n".encode())
    except OSError:
        pass
