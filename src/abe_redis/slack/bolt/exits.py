"""Handles exits of listeners in Bolt's own tasks and threads, where an exit ends the process or is lost."""

import copy
import functools
import inspect
import logging
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import anyio

from abe_redis.slack.bolt.ran import check_ran
from abe_redis.worker.call import as_exception
from abe_redis.worker.handlers import name_of

_LOG = logging.getLogger(__name__)

_EXITS = (SystemExit, KeyboardInterrupt, BaseExceptionGroup)
"""A task that lets one of the first two out ends its event loop."""

_LOOK_SECONDS = 0.02
"""How often it is looked, at the end, whether all listeners have ended."""


class Running:
    """The listeners that run, which may go on when Slack has its answer."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: Counter[str] = Counter()

    def begin(self, function: Callable[..., Any]) -> None:
        """One more runs."""
        with self._lock:
            self._names[name_of(function)] += 1

    def end(self, function: Callable[..., Any]) -> None:
        """One has ended."""
        with self._lock:
            self._names[name_of(function)] -= 1

    @property
    def names(self) -> list[str]:
        """The name of each."""
        with self._lock:
            return sorted(self._names.elements())

    async def finish(self, seconds: float) -> None:
        """Wait for those that run, for a time."""
        with anyio.move_on_after(seconds):
            while self.names:  # noqa: ASYNC110 - threads end them as well
                await anyio.sleep(_LOOK_SECONDS)
        if left := self.names:
            _LOG.warning(
                "Listeners of the Bolt app (%d) did not end within %g s: %s.", len(left), seconds, shown(left)
            )


def shown(names: list[str]) -> str:
    """The names of listeners for the log, each once."""
    return ", ".join(sorted(set(names)))


def outlive(runner: Any, running: Running) -> None:  # noqa: ANN401 - of Bolt
    """Turn an exit in a listener of this runner into a failure of that listener.

    Args:
        runner: It runs the listeners of an app.
        running: Where they are counted.
    """
    run, lazy = runner.run, copy.copy(runner.lazy_listener_runner)
    start = lazy.start

    def run_outliving(*positional: Any, listener: Any, **named: Any) -> Any:  # noqa: ANN401 - of Bolt
        guarded = copy.copy(listener)
        guarded.run_ack_function = _outliving(listener.run_ack_function, running, listener.ack_function)
        return run(*positional, listener=guarded, **named)

    def start_outliving(function: Callable[..., Any], request: Any) -> None:  # noqa: ANN401 - of Bolt
        running.begin(function)  # before a thread is free for it
        start(function=_outliving(function, running, function, has_begun=True), request=request)

    runner.run = run_outliving
    lazy.start = start_outliving
    runner.lazy_listener_runner = lazy


def _outliving(
    call: Callable[..., Any], running: Running, function: Callable[..., Any], *, has_begun: bool = False
) -> Callable[..., Any]:
    """The same call, sync or async, which raises an `Exception` for an exit, or where nothing ran.

    Args:
        call: It calls the function of the app, or is that function.
        running: Where it is counted while it runs.
        function: The function of the app.
        has_begun: It counts already.
    """

    def begin() -> None:
        if not has_begun:
            running.begin(function)

    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def awaited(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - the listener's
            begin()
            try:
                result = await call(*positional, **named)
                check_ran(result, function, "async")
            except _EXITS as error:
                raise _failure(error) from error
            finally:
                running.end(function)
            return result

        return awaited

    @functools.wraps(call)
    def called(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - the listener's
        begin()
        try:
            result = call(*positional, **named)
            check_ran(result, function, "sync")
        except _EXITS as error:
            raise _failure(error) from error
        finally:
            running.end(function)
        return result

    return called


def _failure(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else as_exception(error)
