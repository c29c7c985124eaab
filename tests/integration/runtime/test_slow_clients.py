"""Nobody keeps a connection by taking no answer, or by what comes behind one."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

import anyio
import pytest

from abe_redis.runtime import slow_clients, web
from abe_redis.runtime.web import Receive, Scope, Send
from tests.patience import PATIENCE

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
ENDLESS, LARGE = (REQUEST.replace(b"/ ", path, 1) for path in (b"/endless ", b"/large "))
CLOSING = LARGE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
BODY = b"POST /body HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n{"
PART = b"x" * 10_000_000
MOST = 10


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_GRACE_SECONDS", 0.05)
    monkeypatch.setattr(web, "_CLOSE_SECONDS", 0.05)


class Application:
    """Answers with nothing, with much, or without end; and waits for bodies."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        self.calls += path != "/"
        if path == "/body":
            while (await receive()).get("more_body"):
                pass
        length = 0 if path in {"/", "/body"} else len(PART)
        headers: list[tuple[bytes, bytes]] = (
            [] if path == "/endless" else [(b"content-length", str(length).encode())]
        )
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if path == "/endless":  # the second waits until the first is taken
            for _ in range(2):
                await send({"type": "http.response.body", "body": PART, "more_body": True})
        await send({"type": "http.response.body", "body": PART[:length]})


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[Application, Callable[..., socket.socket]]]:
    """An application, and what connects to it and sends something."""
    app = Application()
    with web.listen("127.0.0.1", 0) as listening, ExitStack() as sockets:

        def connect(sent: bytes) -> socket.socket:
            one = socket.create_connection(listening.getsockname()[:2], timeout=PATIENCE)
            sockets.enter_context(one)
            one.sendall(sent)
            return one

        async with web.serving(app, listening, head_seconds=PATIENCE):
            yield app, connect


async def until_called(app: Application, times: int) -> None:
    with anyio.fail_after(PATIENCE):
        while app.calls < times:
            await anyio.sleep(0.01)


async def taken(one: socket.socket, *, most: int = 1_000_000, pause: float = 0) -> int:
    """How many bytes come until the connection ends."""
    size = 0
    try:
        while part := await anyio.to_thread.run_sync(one.recv, most):
            size += len(part)
            await anyio.sleep(pause)
    except ConnectionResetError:
        pass
    return size


@pytest.mark.promise("Of at most 512 connections")
@pytest.mark.parametrize(
    "sent",
    [ENDLESS, LARGE, CLOSING, REQUEST + BODY],
    ids=["endless answer", "large answer", "last answer", "body behind a request"],
)
async def test_who_does_not_go_on_makes_room(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    monkeypatch.setattr(web, "most_connections", lambda: MOST)
    async with serving() as (app, connect):
        for _ in range(MOST):
            connect(sent)
        await until_called(app, MOST)
        for _ in range(2 * MOST):
            asking = connect(REQUEST)
            assert (await anyio.to_thread.run_sync(asking.recv, 4096))[:12] == b"HTTP/1.1 200"
    assert caplog.text.count(f"All {MOST} connections are open.") == 1


@pytest.mark.promise("The head of a request has 10 s")
@pytest.mark.parametrize("sent", [ENDLESS, CLOSING], ids=["endless answer", "last answer"])
async def test_who_takes_no_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(slow_clients, "TAKE_SECONDS", 0.05)
    async with serving() as (app, connect):
        stranger = connect(sent)
        await until_called(app, 1)
        await anyio.sleep(0.5)  # in the event loop whose clock ends it
        assert await taken(stranger) < len(PART)


async def test_who_takes_an_answer_slowly_gets_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_clients, "TAKE_SECONDS", 3)  # all of it takes longer
    async with serving() as (_, connect):
        slow = connect(CLOSING)
        assert await taken(slow, most=250_000, pause=0.1) > len(PART)
