"""The door that the environment configures, mounted in an application of one's own."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import MutableMapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
import pytest
from redis import Redis as SyncRedis
from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.routing import Mount

from abe_redis.errors import SettingsError
from abe_redis.slack.http import _FromEnvironment, asgi
from abe_redis.testing import message
from abe_redis.testing.signing import signed
from tests.integration.slack.doors import SECRET, post
from tests.patience import PATIENCE

EVENTS = 20
"""Of one channel, from each loop."""


@pytest.fixture(autouse=True)
def environment(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("SLACK_SIGNING_SECRET", f"of-yesterday, {SECRET}")


async def test_an_application_mounts_it_at_any_path(redis: Redis) -> None:
    app = Starlette(routes=[Mount("/slack", _FromEnvironment())])
    for payload in (message("one"), message("two")):
        assert (await post(app, *signed(payload, SECRET))).status == 200
    assert (await post(app, *signed(message("three"), "another"))).status == 401
    assert await redis.xlen("slack_events") == 2


def test_several_event_loops_use_it_at_the_same_time(redis_url: str) -> None:
    app, loops = _FromEnvironment(), 4
    together = threading.Barrier(loops)

    async def send(number: int) -> set[int]:
        await anyio.to_thread.run_sync(together.wait)
        return {
            (await post(app, *signed(message(f"{number}, {one}"), SECRET))).status for one in range(EVENTS)
        }

    with ThreadPoolExecutor(loops) as pool:
        statuses = list(pool.map(lambda number: anyio.run(send, number), range(loops)))
    assert statuses == [{200}] * loops
    with contextlib.closing(SyncRedis.from_url(redis_url)) as client:
        assert client.xlen("slack_events") == EVENTS * loops


async def life(app: Any, *kinds: str) -> list[MutableMapping[str, Any]]:
    """What it answers to these messages of a server's life."""
    said: list[MutableMapping[str, Any]] = []
    coming = [{"type": kind} for kind in kinds]

    async def receive() -> MutableMapping[str, Any]:
        return coming.pop(0)

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return said


async def test_a_server_runs_it_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    begun_and_ended = await life(asgi, "lifespan.startup", "lifespan.shutdown")
    assert [one["type"] for one in begun_and_ended] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    monkeypatch.delenv("SLACK_SIGNING_SECRET")
    (failed,) = await life(_FromEnvironment(), "lifespan.startup")
    assert failed["type"] == "lifespan.startup.failed"
    assert failed["message"].startswith("abe-redis: SLACK_SIGNING_SECRET is not set")


async def test_without_a_secret_a_request_raises_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SLACK_SIGNING_SECRET")
    with pytest.raises(SettingsError, match="SLACK_SIGNING_SECRET is not set"):
        await post(_FromEnvironment(), b"")


async def test_a_websocket_is_closed() -> None:
    said: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        said.append(message)

    await asgi({"type": "websocket"}, receive, send)
    assert [one["type"] for one in said] == ["websocket.close"]


FIRST_REQUEST = """
import hashlib, hmac, sys, time
import anyio
from abe_redis.slack.http import asgi

body = b'{"type": "event_callback", "event": {"type": "app_mention", "channel": "C1"}}'
now = str(int(time.time())).encode()
signature = b"v0=" + hmac.new(b"secret", b"v0:" + now + b":" + body, hashlib.sha256).hexdigest().encode()
headers = [(b"x-slack-request-timestamp", now), (b"x-slack-signature", signature)]
scope = {"type": "http", "method": "POST", "path": "/", "query_string": b"", "headers": headers}
said = []

async def receive():
    return {"type": "http.request", "body": body}

async def send(message):
    said.append(message)

before = set(sys.modules)
anyio.run(asgi, scope, receive, send)
new = set(sys.modules) - before
print(said[0]["status"], sorted(name for name in new if name.startswith(("abe_", "redis"))))
"""


def test_the_first_request_does_not_wait_for_imports(redis_url: str) -> None:
    """It would hold up every route of the application that mounts it."""
    done = subprocess.run(
        [sys.executable, "-c", FIRST_REQUEST],
        env=os.environ | {"REDIS_URL": redis_url, "SLACK_SIGNING_SECRET": "secret"},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.stdout == "200 []\n", done.stdout + done.stderr
