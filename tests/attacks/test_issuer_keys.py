"""Which of an issuer's keys count, and for how long, though it may be away for a time."""

import time as wall_clock
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import anyio
import httpx
import jwt
import pytest

from abe_redis.mcp import oauth
from abe_redis.mcp.http import http_app
from abe_redis.mcp.oauth import OAuth
from abe_redis.runtime import clock
from tests.attacks.issuer import Issuer, issuing
from tests.patience import PATIENCE

pytestmark = pytest.mark.anyio

RESOURCE = "http://127.0.0.1/mcp"
LEEWAY = 30
"""Seconds for which a token counts after its end."""
ROTATED = 31.0
"""Seconds after which a token with an unknown key makes the server look again."""
OLD = 301.0
"""Seconds after which keys have to be looked at anew."""


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with issuing() as one:
        yield one


class Clock:
    """A clock that a test sets forward."""

    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr(clock, "now", found.now)
    return found


class Served:
    """The application of an MCP server that takes the tokens of an issuer."""

    def __init__(self, issuer: Issuer) -> None:
        self.issuer = issuer
        self.app = http_app(self._answer, None, OAuth(issuer.url, RESOURCE))

    async def _answer(self, _: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    def token(self, key: str = "one", **header: Any) -> str:
        return self.issuer.token(self.issuer.claims(RESOURCE, "read"), key=key, **header)

    async def answer(self, token: str) -> httpx.Response:
        transport = httpx.ASGITransport(self.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.post("/mcp", json={}, headers={"Authorization": f"Bearer {token}"})

    async def code(self, token: str) -> int:
        return (await self.answer(token)).status_code


@pytest.mark.promise("Keys are looked at anew when they are older than five minutes")
async def test_a_key_that_the_issuer_withdraws_counts_no_longer(issuer: Issuer, time: Clock) -> None:
    served = Served(issuer)
    stolen, good = served.token("one"), served.token("two")
    assert await served.code(stolen) == 200
    del issuer.keys["one"]
    time.time += OLD
    assert await served.code(stolen) == 401
    assert await served.code(good) == 200
    assert issuer.asked.count("/keys") == 2


@pytest.mark.promise("while the issuer is away, the keys of before count")
async def test_known_keys_count_while_the_issuer_is_away(issuer: Issuer, time: Clock) -> None:
    served = Served(issuer)
    assert await served.code(served.token()) == 200
    issuer.is_away = True
    time.time += OLD
    assert await served.code(served.token()) == 200
    asked = len(issuer.asked)
    assert await served.code(served.token()) == 200
    assert len(issuer.asked) == asked, "not with every request"


async def test_a_new_key_counts_as_soon_as_a_token_names_it(issuer: Issuer, time: Clock) -> None:
    served = Served(issuer)
    new = issuer.keys.pop("two")
    assert await served.code(served.token()) == 200
    issuer.keys["two"] = new
    assert await served.code(served.token("two")) == 401, "strangers do not make it look all the time"
    time.time += ROTATED
    assert await served.code(served.token("two")) == 200


@pytest.mark.parametrize("age", [ROTATED, OLD])
async def test_a_strangers_token_makes_nobody_wait_for_an_issuer_that_hangs(
    age: float, issuer: Issuer, time: Clock
) -> None:
    served = Served(issuer)
    assert await served.code(served.token()) == 200
    asked = len(issuer.asked)
    issuer.answers.clear()
    time.time += age
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as strangers:
            strangers.start_soon(served.code, served.token(kid="unknown"))
            while len(issuer.asked) == asked:
                await anyio.sleep(0.001)
            assert await served.code(served.token()) == 200, "while the other waits"
            strangers.cancel_scope.cancel()


@pytest.mark.promise("is answered with 503 and not with 401")
async def test_a_token_that_nobody_can_check_yet_is_not_called_bad(issuer: Issuer, time: Clock) -> None:
    served = Served(issuer)
    issuer.is_away = True
    answered = await served.answer(served.token())
    assert (answered.status_code, answered.headers["retry-after"]) == (503, "5")
    assert "try again" in answered.text
    issuer.is_away = False
    time.time += 2
    assert await served.code(served.token()) == 200
    assert await served.code(served.token(kid="unknown")) == 401


@pytest.mark.promise("The body of a stranger is not read, and a stranger counts for nothing")
@pytest.mark.parametrize("by", ["token", "issuer"])
async def test_nobody_waits_for_the_body_of_a_stranger(by: str, issuer: Issuer) -> None:
    served, codes = Served(issuer), list[int]()
    app = served.app if by == "issuer" else http_app(served.app, "a token of many characters")

    async def receive() -> dict[str, Any]:
        raise AssertionError("the body is read")

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    sent = {"type": "http", "path": "/mcp", "method": "POST", "query_string": b"", "headers": []}
    for headers in ([], [(b"authorization", b"Bearer a.b.c")]):
        await app(sent | {"headers": headers}, receive, send)
    assert codes == [401, 401]


@pytest.mark.parametrize("algorithm", ["RS256", "RS512", "PS256"])
async def test_a_published_key_that_names_no_algorithm_is_for_all_of_its_kind(
    algorithm: str, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = issuer.jwks()
    for one in keys["keys"]:
        one.pop("alg", None)
    monkeypatch.setattr(issuer, "jwks", lambda: keys)
    token = jwt.encode(issuer.claims(RESOURCE, "read"), issuer.keys["one"][1], algorithm, {"kid": "one"})
    assert await Served(issuer).code(token) == 200


@pytest.mark.promise("A stream of notifications ends with the token that opened it")
@pytest.mark.parametrize("is_stream", [True, False])
async def test_a_stream_that_is_open_ends_with_its_token_and_a_call_does_not(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch, *, is_stream: bool
) -> None:
    said = list[str]()
    # For the end of streams it is a second before that of the token, however long it takes to check that one.
    monkeypatch.setattr(oauth, "time", SimpleNamespace(time=lambda: wall_clock.time() + 600 + LEEWAY - 1))

    async def streams(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        with anyio.move_on_after(PATIENCE if is_stream else 2):
            said.append((await receive())["type"])
        await send({"type": "http.response.body", "body": b"", "more_body": True})

    app = http_app(streams, None, OAuth(issuer.url, RESOURCE))
    token = issuer.token(issuer.claims(RESOURCE, "read"))
    sent, never, has_come = list[dict[str, Any]](), anyio.Event(), False

    async def receive() -> dict[str, Any]:
        nonlocal has_come
        if has_come:
            await never.wait()
        has_come = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    head = [(b"host", b"127.0.0.1"), (b"authorization", f"Bearer {token}".encode())]
    scope = {"type": "http", "method": "GET" if is_stream else "POST", "path": "/mcp", "headers": head}
    with anyio.fail_after(2 * PATIENCE):
        await app({**scope, "query_string": b"", "client": ("127.0.0.1", 1)}, receive, send)
    assert said == ["http.disconnect"] * is_stream
    assert sent[-1].get("more_body", False) is not is_stream
