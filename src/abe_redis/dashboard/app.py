"""The page on localhost, and its numbers. No request changes anything."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from abe_redis.dashboard.page import page, policy
from abe_redis.errors import AbeRedisError
from abe_redis.sanitize.untrusted import ascii_json, safe, shown
from abe_redis.schemas import StatsResult

HOST = "127.0.0.1"

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def dashboard(fetch: Callable[[], Awaitable[StatsResult]]) -> Starlette:
    """The application: the page at `/`, the numbers at `/stats.json`, its own health at `/healthz`.

    Args:
        fetch: Returns the numbers, at each request.
    """

    async def document(_: Request) -> Response:
        return HTMLResponse(page(), headers=_HEADERS | {"Content-Security-Policy": policy()})

    async def numbers(_: Request) -> Response:
        try:
            result = safe(await fetch())
        except AbeRedisError as error:
            return JSONResponse({"error": shown(str(error))}, status_code=503, headers=_HEADERS)
        return Response(
            ascii_json(result.model_dump(mode="json")), media_type="application/json", headers=_HEADERS
        )

    async def health(_: Request) -> Response:
        return PlainTextResponse("ok")

    return Starlette(
        routes=[Route("/", document), Route("/stats.json", numbers), Route("/healthz", health)],
        # A foreign web page that reaches this machine under a name of its own must not read the numbers.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])],
    )
