"""Listeners that Bolt runs in tasks and threads of its own, where an exit ends the process or is lost."""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

from abe_redis.worker.call import as_exception

_EXITS = (SystemExit, KeyboardInterrupt, BaseExceptionGroup)
"""A task that lets one of the first two out ends its event loop."""


def outlive(runner: Any) -> None:  # noqa: ANN401 - of Bolt
    """Let what would end the process, in a listener that this runner runs, be a failure of that listener."""
    run, lazy = runner.run, copy.copy(runner.lazy_listener_runner)
    start = lazy.start

    def run_outliving(*positional: Any, listener: Any, **named: Any) -> Any:  # noqa: ANN401 - of Bolt
        guarded = copy.copy(listener)
        guarded.run_ack_function = _outliving(listener.run_ack_function)
        return run(*positional, listener=guarded, **named)

    def start_outliving(function: Callable[..., Any], request: Any) -> None:  # noqa: ANN401 - of Bolt
        start(function=_outliving(function), request=request)

    runner.run = run_outliving
    lazy.start = start_outliving
    runner.lazy_listener_runner = lazy


def _outliving(call: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, sync or async, which raises an `Exception` where it raises an exit."""
    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def awaited(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - the listener's
            try:
                return await call(*positional, **named)
            except _EXITS as error:
                raise _failure(error) from error

        return awaited

    @functools.wraps(call)
    def called(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - the listener's
        try:
            return call(*positional, **named)
        except _EXITS as error:
            raise _failure(error) from error

    return called


def _failure(error: BaseException) -> Exception:
    return error if isinstance(error, Exception) else as_exception(error)
