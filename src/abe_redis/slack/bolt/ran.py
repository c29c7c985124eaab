"""Whether a function of an app has run: of one that returned a coroutine or a generator, nothing has."""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

from abe_redis.slack.bolt.recognition import Kind
from abe_redis.worker.handlers import name_of


def check_ran(result: Any, function: Callable[..., Any], kind: Kind) -> None:  # noqa: ANN401 - the function's
    """Refuse the result of a function of which nothing has run.

    Args:
        result: What the function returned; an async one, when it was awaited.
        function: The function.
        kind: The kind of its app.

    Raises:
        TypeError: The result is a coroutine or a generator.
    """
    if inspect.iscoroutine(result):
        result.close()  # which nobody awaits
        what = "a coroutine, of which nothing has run"
        remedy = (
            "Await it in the function."
            if kind == "async"
            else "An App of slack_bolt calls plain functions: write it with def, or make the app an AsyncApp."
        )
    elif inspect.isgenerator(result) or inspect.isasyncgen(result):
        what, remedy = "a generator, of which nothing has run", "Leave out its yield."
    else:
        return
    raise TypeError(f"{name_of(function)} returned {what}. {remedy}")


def check_matchers(listener: Any) -> None:  # noqa: ANN401 - of Bolt
    """Refuse a listener of an `App` with an async matcher, which lets everything pass.

    Raises:
        TypeError: It has one.
    """
    for matcher in listener.matchers:
        if inspect.iscoroutinefunction(function := getattr(matcher, "func", None)):
            raise TypeError(
                f"The matcher {name_of(function)} is a coroutine function, which an App of slack_bolt does "
                "not run, so that everything matches. Write it with def, or make the app an AsyncApp."
            )


def checking_error_handler(handler: Any, kind: Kind) -> Any:  # noqa: ANN401 - of Bolt
    """A copy of an app's error handler, which checks what its function returns."""
    if not hasattr(handler, "func"):
        return handler
    checked, function = copy.copy(handler), handler.func

    @functools.wraps(function)
    def called(**given: Any) -> Any:  # noqa: ANN401 - the handler's
        result = function(**given)
        check_ran(result, function, kind)
        return result

    @functools.wraps(function)
    async def awaited(**given: Any) -> Any:  # noqa: ANN401 - the handler's
        result = await function(**given)
        check_ran(result, function, kind)
        return result

    checked.func = called if kind == "sync" else awaited
    return checked
