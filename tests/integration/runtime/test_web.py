"""A web server ends in peace: what runs gets a grace, then an answer, and no error is logged."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import pytest

from abe_redis.errors import AbeRedisError
from abe_redis.runtime import web
from abe_redis.runtime.web import Receive, Scope, Send
from tests.patience import PATIENCE

REQUEST = b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 4\r\n\r\n"
LARGE = b"x" * 30_000_000


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(web, "_CLOSE_SECONDS", 0.05)
    monkeypatch.setattr(web, "_LAST_SECONDS", PATIENCE)


class Application:
    """What its clients ask for never comes, or is more than they read."""

    def __init__(self) -> None:
        self.calls = 0
        self.cancelled = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        self.calls += 1
        if scope["path"] == "/large":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": LARGE})
            return
        try:
            while (await receive()).get("more_body"):
                pass
            await anyio.sleep_forever()
        except anyio.get_cancelled_exc_class():
            self.cancelled += 1
            raise


@asynccontextmanager
async def running() -> AsyncIterator[tuple[Application, int]]:
    app = Application()
    with web.listen("127.0.0.1", 0) as listening:
        async with web.serving(app, listening):
            yield app, listening.getsockname()[1]


@pytest.mark.parametrize(("prefix", "option"), [("", "--port"), ("metrics-", "--metrics-port")])
def test_a_port_that_is_taken_is_a_sentence_with_the_option_that_chooses_another(
    prefix: str, option: str
) -> None:
    with web.listen("127.0.0.1", 0) as taken, pytest.raises(AbeRedisError) as error:
        web.listen("127.0.0.1", taken.getsockname()[1], prefix=prefix)
    assert str(error.value).endswith(f"(Address already in use): choose another port with {option}.")


async def _until_called(app: Application, times: int) -> None:
    with anyio.fail_after(PATIENCE):
        while app.calls < times:
            await anyio.sleep(0.01)


async def test_a_call_that_does_not_end_in_time_is_answered_at_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers: list[bytes] = []

    async def ask(port: int, body: bytes) -> None:
        async with await anyio.connect_tcp("127.0.0.1", port) as client:
            await client.send(REQUEST + body)
            answers.append(await client.receive())

    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as clients, running() as (app, port):
            clients.start_soon(ask, port, b"body")
            clients.start_soon(ask, port, b"bo")  # and no more
            await _until_called(app, 2)
    assert app.cancelled == 2
    assert [answer[:12] for answer in answers] == [b"HTTP/1.1 503"] * 2
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_a_client_that_does_not_read_or_go_on_delays_no_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with anyio.fail_after(PATIENCE):
        async with running() as (app, port):
            reading_nothing = await anyio.connect_tcp("127.0.0.1", port)
            await reading_nothing.send(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
            stopping = await anyio.connect_tcp("127.0.0.1", port)
            await stopping.send(b"POST / HT")
            await _until_called(app, 1)
    await reading_nothing.aclose()
    await stopping.aclose()
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []
