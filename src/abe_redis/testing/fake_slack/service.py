"""The fake Slack's server: the routes of its paths."""

import asyncio
import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession, web

from abe_redis.testing.fake_slack.posts import post
from abe_redis.testing.fake_slack.records import SlackDelivery
from abe_redis.testing.fake_slack.sockets import Sockets
from abe_redis.testing.fake_slack.web_api import WebApi

_MOST_BODY = 64 * 1024 * 1024


class Service:
    """One server with everything of Slack; it lives in one event loop."""

    def __init__(
        self, api: WebApi, *, secret: str, retry_waits: Sequence[float], answer_within: float
    ) -> None:
        self._api = api
        self._secret = secret
        self._retry_waits = retry_waits
        self._answer_within = answer_within
        self.sockets = Sockets(retry_waits, answer_within)
        self._sending: set[asyncio.Task[None]] = set()
        self._session: ClientSession | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> int:
        """Listen on a free port of the loopback interface, and return it."""
        app = web.Application(client_max_size=_MOST_BODY)
        app.router.add_get("/link/", self.sockets.serve)
        app.router.add_post("/response_url/{id}", self._response_url)
        app.router.add_route("*", "/api/{method}", self._call)
        self._session = ClientSession()
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        port = self._runner.addresses[0][1]
        self._api.socket_url = lambda: f"ws://127.0.0.1:{port}/link/?ticket={uuid4()}"
        return int(port)

    async def stop(self) -> None:
        """End everything, and give up running deliveries."""
        for task in self._sending:
            task.cancel()
        await asyncio.gather(*self._sending, return_exceptions=True)
        self.sockets.cut()
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def post(self, url: str, delivery: SlackDelivery) -> None:
        """Begin to post something to an app's address."""
        assert self._session is not None  # noqa: S101 - it runs
        self._begin(
            post(
                self._session,
                url,
                delivery,
                secret=self._secret,
                retry_waits=self._retry_waits,
                answer_within=self._answer_within,
            )
        )

    def send(self, delivery: SlackDelivery) -> None:
        """Begin to send something by Socket Mode."""
        payload = delivery.payload
        kind = "slash_commands" if "command" in payload else "interactive"
        if payload.get("type") == "event_callback":
            kind = "events_api"
        self._begin(self.sockets.send(delivery, kind))

    def disconnect(self, reason: str, closes_after: float) -> None:
        """Begin to end the connections of Socket Mode."""
        self._begin(self.sockets.disconnect(reason, closes_after))

    def _begin(self, work: Any) -> None:  # noqa: ANN401 - a coroutine
        task = asyncio.get_running_loop().create_task(work)
        self._sending.add(task)
        task.add_done_callback(self._sending.discard)

    async def _call(self, request: web.Request) -> web.Response:
        arguments = await _arguments(request)
        said = arguments.pop("token", None)
        token = request.headers.get("Authorization", "").removeprefix("Bearer ").strip() or said
        answered = self._api.record(request.match_info["method"], arguments, token)
        return web.json_response(answered.body, status=answered.status, headers=answered.headers)

    async def _response_url(self, request: web.Request) -> web.Response:
        answered = self._api.record("response_url", await _arguments(request), None)
        return web.json_response(answered.body, status=answered.status, headers=answered.headers)


async def _arguments(request: web.Request) -> dict[str, Any]:
    """The arguments of a call, in any encoding."""
    given: dict[str, Any] = dict(request.query)
    if request.content_type == "application/json":
        with suppress(ValueError):
            body = await request.json()
            given |= body if isinstance(body, dict) else {}
        return given
    form = await request.post()
    for name, value in form.items():
        given[name] = _decoded(value) if isinstance(value, str) else f"<file {value!r:.40}>"
    return given


def _decoded(value: str) -> Any:  # noqa: ANN401 - any JSON
    if value[:1] in ("{", "["):
        with suppress(ValueError):
            return json.loads(value)
    return value
