"""Keeps apart what a forked child must not share: its owner registers here to hear of forks.

A child gets a copy of everything: names that must be unique, the numbers of open sockets and locks, and
mutexes held by a thread that the child does not have. `gunicorn --preload`, Celery and multiprocessing fork a
process that already has a backend.
"""

import os
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import Protocol

from abe_redis.runtime import fork_rest


class Forkable(Protocol):
    """Keeps something that belongs to one process."""

    def before_fork(self) -> None:
        """Get ready: nothing may be half done when the copy is made. Called in the thread that forks."""

    def after_fork(self) -> None:
        """Go on in the parent."""

    def forked(self) -> None:
        """Release, in the child, what belongs to the parent, without disturbing the parent."""


_registered: "weakref.WeakSet[Forkable]" = weakref.WeakSet()
_registering = threading.RLock()
_generation = 0
_inherited: list[object] = []
_forking: list[Forkable] = []


def generation() -> int:
    """Number of forks since the first process; an object made under another number is not ours."""
    return _generation


def end_if_child(since: int, error: BaseException | None) -> None:
    """End this process if it was forked since then: it has the loop of its parent, which it must not run.

    Args:
        since: The number of forks before.
        error: What the code raised in which it was forked; a `SystemExit` says the exit code.
    """
    if _generation == since:
        return
    code = error.code if isinstance(error, SystemExit) else error and 1
    if not isinstance(code, int | None):
        print(code, file=sys.stderr)  # noqa: T201 - as Python does
        code = 1
    with suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code or 0)


def leave_alone(one: object) -> None:
    """Keep an object of the parent until the child ends, so that nothing finalizes it."""
    _inherited.append(one)


def hears_of_forks(one: Forkable) -> None:
    """Tell an object of forks for as long as it lives."""
    with _registering:
        _registered.add(one)


def _before() -> None:
    fork_rest.before_fork()  # first: a loop that rests may have to register something before it does
    _registering.acquire()
    _forking[:] = _registered
    for one in _forking:
        one.before_fork()


def _in_parent() -> None:
    with _told_to_all(fork_rest.after_fork) as told:
        for one in _forking:
            told.callback(one.after_fork)


def _in_child() -> None:
    global _generation  # noqa: PLW0603 - a process has one
    _generation += 1
    with _told_to_all(fork_rest.forked) as told:
        for one in _forking:
            told.callback(one.forked)


def _told_to_all(end_rest: Callable[[], None]) -> ExitStack:
    """Calls that are made at its end, each of them also when another fails; then all threads go on."""
    told = ExitStack()
    told.callback(end_rest)
    told.callback(_registering.release)
    told.callback(_forking.clear)
    return told


if hasattr(os, "register_at_fork"):  # Windows has no forks
    os.register_at_fork(before=_before, after_in_parent=_in_parent, after_in_child=_in_child)
