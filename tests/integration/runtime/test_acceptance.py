"""A burst of connections stops nothing else: few are accepted at a time, and no more than have room."""

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import override

import anyio
import pytest

from abe_redis.runtime import acceptance, web
from abe_redis.runtime.web import Receive, Scope, Send
from tests.patience import PATIENCE

REQUEST = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
BURST = 200
MOST = 40


@pytest.fixture
def sockets() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


class Door(socket.socket):
    """A listening socket that notes the turn of the event loop in which it accepts, and that may fail."""

    turn = 0
    failures = 0

    @override
    def accept(self) -> tuple[socket.socket, object]:
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        accepted = super().accept()
        self.turns.append(self.turn)
        return accepted

    async def count_turns(self) -> None:
        while True:
            await anyio.lowlevel.checkpoint()
            self.turn += 1

    @classmethod
    def open(cls) -> "Door":
        found = web.listen("127.0.0.1", 0)
        door = cls(found.family, found.type, found.proto, found.detach())
        door.turns = []
        return door

    turns: list[int]

    def connect(self) -> socket.socket:  # type: ignore[override]
        return socket.create_connection(self.getsockname(), timeout=PATIENCE)


async def application(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "http" and scope["path"] == "/":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})
    elif scope["type"] == "http":
        await anyio.sleep_forever()


async def answer(connection: socket.socket, request: bytes = REQUEST) -> bytes:
    """The first line of what comes back; nothing of a connection that is closed."""

    def ask() -> bytes:
        try:
            connection.sendall(request)
            return connection.recv(4096).split(b"\r\n")[0]
        except ConnectionError:
            return b""

    return await anyio.to_thread.run_sync(ask)


async def hangs(connection: socket.socket) -> bool:
    """Whether a request for what never comes is taken."""
    connection.settimeout(0.2)
    try:
        return await answer(connection, REQUEST.replace(b"/ ", b"/hangs ")) != b""
    except TimeoutError:
        return True


@pytest.mark.promise("A burst is accepted a few at a time")
async def test_the_event_loop_goes_on_between_the_connections_of_a_burst(
    sockets: ExitStack, caplog: pytest.LogCaptureFixture
) -> None:
    door = sockets.enter_context(Door.open())
    for _ in range(BURST):
        sockets.enter_context(door.connect())
    asking = sockets.enter_context(door.connect())
    async with web.serving(application, door), anyio.create_task_group() as tasks:
        tasks.start_soon(door.count_turns)
        assert await answer(asking) == b"HTTP/1.1 200 OK"
        tasks.cancel_scope.cancel()
    assert len(door.turns) == BURST + 1
    assert max(map(door.turns.count, door.turns)) <= acceptance.AT_ONCE
    assert not caplog.records


@pytest.mark.promise("When the process may open no more files, connections wait")
async def test_without_a_file_for_them_connections_wait_and_the_log_says_so_once(
    sockets: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(acceptance, "_PAUSE_SECONDS", 0.001)
    door = sockets.enter_context(Door.open())
    door.failures = 50
    async with web.serving(application, door):
        assert await answer(sockets.enter_context(door.connect())) == b"HTTP/1.1 200 OK"
    assert door.failures == 0
    (said,) = caplog.messages
    assert said.startswith("No connection can be accepted (Too many open files); they wait.")
    assert caplog.records[0].exc_info is None


async def test_at_the_bound_one_that_waits_makes_room_and_where_none_does_the_new_one_is_closed(
    sockets: ExitStack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(web, "most_connections", lambda: MOST)
    door = sockets.enter_context(Door.open())
    async with web.serving(application, door):
        idle = [sockets.enter_context(door.connect()) for _ in range(BURST)]
        assert await answer(sockets.enter_context(door.connect())) == b"HTTP/1.1 200 OK"
        for one in idle[: BURST - MOST]:
            assert await answer(one) == b""
        with anyio.fail_after(PATIENCE):
            while await hangs(sockets.enter_context(door.connect())):
                pass
    (said,) = caplog.messages
    assert said.startswith(f"All {MOST} connections are open."), "once"
