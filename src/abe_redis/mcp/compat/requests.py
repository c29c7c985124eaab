"""Every request of a client over HTTP runs with the access that the token of this very request gives.

A session's requests run in tasks that its first request began, so the SDK's context variable holds the token
of the first request. Each request has its own token.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from abe_redis.mcp.access import ACCESS, within
from abe_redis.mcp.oauth import access_of
from abe_redis.mcp.sdk_line import SDK_2

type _Handler = Callable[..., Awaitable[Any]]


def know_access(lowlevel: Any) -> None:  # noqa: ANN401 - of either line
    """Wrap each handler of the SDK's server behind ours."""
    if SDK_2:
        handlers = lowlevel._request_handlers  # noqa: SLF001 - there is no other way to it
        for method, entry in list(handlers.items()):
            handlers[method] = replace(entry, handler=_knowing_2(entry.handler))
        return
    for kind, handler in list(lowlevel.request_handlers.items()):
        lowlevel.request_handlers[kind] = _knowing_1(lowlevel, handler)


def _knowing_1(lowlevel: Any, handler: _Handler) -> _Handler:  # noqa: ANN401 - as above
    async def run(request: Any) -> Any:  # noqa: ANN401 - the SDK's
        with _known(lowlevel.request_context.request):
            return await handler(request)

    return run


def _knowing_2(handler: _Handler) -> _Handler:
    async def run(context: Any, parameters: Any) -> Any:  # noqa: ANN401 - the SDK's
        with _known(context.request):
            return await handler(context, parameters)

    return run


@contextmanager
def _known(request: Any) -> Iterator[None]:  # noqa: ANN401 - Starlette's
    token = ACCESS.set(None if request is None else access_of(request.scope))
    try:
        with within("read"):
            yield
    finally:
        ACCESS.reset(token)
