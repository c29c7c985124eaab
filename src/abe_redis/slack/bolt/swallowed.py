"""Reports exceptions that Bolt's authorization swallows: it logs them and answers 200."""

import copy
import functools
import inspect
from collections.abc import Callable
from typing import Any

from abe_redis.slack.bolt.attempt import Attempt


def noting(call: Callable[..., Any], attempt: Attempt) -> Callable[..., Any]:
    """The same function, sync or async; the attempt notes its exceptions."""
    if inspect.iscoroutinefunction(call):

        @functools.wraps(call)
        async def awaited(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - the function's
            try:
                return await call(*positional, **named)
            except NotImplementedError:
                raise  # by which a store says that it has no such method
            except Exception as error:
                attempt.swallowed = error
                raise

        return awaited

    @functools.wraps(call)
    def called(*positional: Any, **named: Any) -> Any:  # noqa: ANN401 - the function's
        try:
            return call(*positional, **named)
        except NotImplementedError:
            raise
        except Exception as error:
            attempt.swallowed = error
            raise

    return called


class _NotingStore:
    """An installation store; the attempt notes its exceptions."""

    def __init__(self, store: Any, attempt: Attempt) -> None:  # noqa: ANN401 - anybody's store
        self._store = store
        self._attempt = attempt

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the store's
        found = getattr(self._store, name)
        return noting(found, self._attempt) if "find" in name and callable(found) else found


def noting_authorization(middleware: Any, attempt: Attempt) -> Any:  # noqa: ANN401 - either of Bolt's classes
    """A copy of Bolt's authorization, if it calls a store or a function; the attempt notes exceptions."""
    if not hasattr(middleware, "authorize"):
        return middleware
    noted = copy.copy(middleware)
    noted.authorize = authorize = copy.copy(middleware.authorize)
    if hasattr(authorize, "func"):
        authorize.func = noting(authorize.func, attempt)
    if hasattr(authorize, "installation_store"):
        authorize.installation_store = _NotingStore(authorize.installation_store, attempt)
    return noted
