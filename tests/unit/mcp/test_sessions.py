"""Too many sessions: which one makes room, and when none does."""

from collections.abc import MutableMapping
from typing import Any

import anyio
import pytest

from abe_redis.mcp import sessions
from abe_redis.mcp.sessions import HEADER, PATH, Sessions
from abe_redis.runtime import clock
from abe_redis.runtime.web import Receive, Scope, Send
from tests.patience import PATIENCE


class Client:
    """Asks for sessions, of which three may be open, and uses them."""

    def __init__(self) -> None:
        self.ended: list[str] = []
        self.holding: set[str] = set()
        self._made = 0
        self.sessions = Sessions(self._app, 1800, self._left, self.holding.__contains__)

    async def _app(self, scope: Scope, _: Receive, send: Send) -> None:
        opens = not sessions.header(scope["headers"], HEADER)
        self._made += opens
        headers = [(HEADER, str(self._made).encode())] if opens else []
        status = 202 if scope["query_string"] else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})

    async def _left(self, session: str) -> None:
        self.ended.append(session)

    async def ask(self, session: str = "", *, tells: bool = False, address: str = "192.0.2.1") -> int:
        """The status of a request, which opens a session if it has none; to tell is not to ask."""
        status = 0

        async def send(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request"}

        headers = [(HEADER, session.encode())] if session else []
        await self.sessions(
            {
                "type": "http",
                "path": PATH,
                "method": "POST",
                "headers": headers,
                "query_string": b"x" * tells,
                "client": (address, 1),
            },
            receive,
            send,
        )
        return status


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(sessions, "MOST_SESSIONS", 3)
    return Client()


async def test_a_session_that_was_never_used_makes_room_the_oldest_first(client: Client) -> None:
    for _ in range(3):
        assert await client.ask() == 200
    await client.ask("1", tells=True)  # that it is ready
    await client.ask("2")  # which asks for something
    assert [await client.ask(), await client.ask()] == [200, 200]
    assert client.ended == ["3", "1"], "in the order in which they were used last"


async def test_a_session_in_use_makes_no_room_until_it_is_idle_and_holds_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        await client.ask()
        await client.ask(str(number + 1))
    assert await client.ask() == 503
    client.holding.update(["1", "2"])
    later = clock.now() + 61
    monkeypatch.setattr(clock, "now", lambda: later)
    assert await client.ask() == 200
    assert client.ended == ["3"]
    assert await client.ask() == 200, "the one that has just been opened, and was never used"
    assert client.ended == ["3", "4"]


async def test_who_has_most_sessions_makes_room_for_others(client: Client) -> None:
    for number in range(3):
        await client.ask()
        await client.ask(str(number + 1))
    client.holding.add("1")
    assert await client.ask(address="192.0.2.2") == 200
    assert client.ended == ["2"], "the oldest that holds nothing"
    await client.ask("4", address="192.0.2.2")
    assert await client.ask(address="192.0.2.2") == 503, "it has as many as the other"
    assert await client.ask(address="192.0.2.3") == 200


async def test_a_session_that_wakes_while_others_end_goes_on(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        await client.ask()
    later = clock.now() + 1801
    monkeypatch.setattr(clock, "now", lambda: later)
    left = client._left

    async def wake(session: str) -> None:
        await left(session)
        await client.ask("2")

    monkeypatch.setattr(client.sessions, "_left", wake)
    monkeypatch.setattr(client.sessions, "_idle_seconds", 0.01)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.sessions.run)
            while not client.ended:
                await anyio.sleep(0.01)
            tasks.cancel_scope.cancel()
    assert client.ended == ["1"]
