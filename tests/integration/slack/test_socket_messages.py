"""Whatever comes through a connection, the connection goes on."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from aiohttp import WSMsgType, web
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import Receiver
from abe_redis.slack.socket_mode import SocketDoor
from abe_redis.testing import message
from tests.patience import PATIENCE
from tests.servers import HOST


class Talker:
    """A Slack that says what a test wants, and keeps what it hears."""

    def __init__(self, *says: str | bytes) -> None:
        self.says = says
        self.heard: list[Any] = []
        self.url = ""

    async def open(self, _: web.Request) -> web.Response:
        return web.json_response({"ok": True, "url": f"{self.url.replace('http', 'ws', 1)}link"})

    async def link(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        for one in self.says:
            await (socket.send_str(one) if isinstance(one, str) else socket.send_bytes(one))
        async for said in socket:
            if said.type is WSMsgType.TEXT:
                self.heard.append(json.loads(said.data))
        return socket


@asynccontextmanager
async def talking(talker: Talker) -> AsyncIterator[None]:
    app = web.Application()
    app.router.add_post("/apps.connections.open", talker.open)
    app.router.add_get("/link", talker.link)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, 0).start()
        talker.url = f"http://{HOST}:{runner.addresses[0][1]}/"
        yield
    finally:
        await runner.cleanup()


def envelope(envelope_id: str, **more: Any) -> str:
    return json.dumps({"envelope_id": envelope_id, "type": "events_api", "payload": message("hi")} | more)


ODD: list[str | bytes] = [
    "",
    "{",
    "[]",
    "7",
    "[" * 100_000,
    "{}",
    b"\xff\x00",
    '{"type": "hologram"}',
    '{"type": ["hello"]}',
    '{"envelope_id": 7, "payload": {}}',
    '{"envelope_id": "no payload"}',
    '{"envelope_id": "a list", "payload": []}',
    envelope("too deep", payload=json.loads('{"a":' * 200 + "1" + "}" * 200)),
]


async def test_odd_messages_are_not_acked_and_end_nothing(
    backend: RedisMessageQueueBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    again = {"retry_attempt": 2, "retry_reason": "timeout"}
    unknown = {"type": "hologram", "accepts_response_payload": True, "retry_attempt": "x", "retry_reason": 5}
    talker = Talker('{"type": "hello"}', *ODD, envelope("one", **again), envelope("two", **unknown))
    async with talking(talker), anyio.create_task_group() as tasks:
        receiver = Receiver(backend, Queues.chosen(backend.settings))
        door = SocketDoor(receiver, "xapp-1", api_url=talker.url)
        tasks.start_soon(door.run)
        with anyio.fail_after(PATIENCE):
            while len(talker.heard) < 2:
                await anyio.sleep(0.02)
        assert door.connected == 1
        door.shutdown()
    assert sorted(one["envelope_id"] for one in talker.heard) == ["one", "two"]
    assert await redis.xlen("slack_events") == 2
    assert "Traceback" not in caplog.text


async def test_a_connection_that_slack_refuses_is_asked_for_again(backend: RedisMessageQueueBackend) -> None:
    talker = Talker('{"type": "disconnect", "reason": "too_many_websockets"}')
    async with talking(talker), anyio.create_task_group() as tasks:
        door = SocketDoor(Receiver(backend, Queues("slack_events")), "xapp-1", api_url=talker.url)
        tasks.start_soon(door.run)
        await anyio.sleep(0.1)
        talker.says = ('{"type": "hello"}',)
        with anyio.fail_after(PATIENCE):
            while not door.connected:
                await anyio.sleep(0.02)
        door.shutdown()
