"""Single key presses from the terminal, without echo and without a thread that cannot be stopped."""

import os
import sys
import termios
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import anyio

_NAMES = {
    "\x1b[A": "up",
    "\x1b[B": "down",
    "\x1b[C": "right",
    "\x1b[D": "left",
    "\x1bOA": "up",
    "\x1bOB": "down",
    "\x1bOC": "right",
    "\x1bOD": "left",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\x1b": "esc",
    "\r": "enter",
    "\n": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
}


@contextmanager
def single_keys() -> Iterator[None]:
    """Let the terminal report each key at once, without echo; Ctrl-C still interrupts."""
    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    try:
        tty.setcbreak(terminal)
        yield
    finally:
        termios.tcsetattr(terminal, termios.TCSADRAIN, before)


async def keys() -> AsyncIterator[str]:
    """The pressed keys, by name or as their character, until stdin ends."""
    terminal = sys.stdin.fileno()
    while True:
        await anyio.wait_readable(terminal)
        pressed = os.read(terminal, 64).decode(errors="replace")
        if not pressed:
            return
        while pressed:
            known = max((code for code in _NAMES if pressed.startswith(code)), key=len, default=pressed[0])
            yield _NAMES.get(known, known)
            pressed = pressed[len(known) :]
