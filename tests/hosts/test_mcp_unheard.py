"""What a call leases and its client never hears of is free again at once, and no `ack` finishes it."""

import itertools
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.mcp_http import BOTH, INITIALIZE, Served, serve
from tests.hosts.mcp_sessions import ENVELOPE, GROUP, SERVE, TOPIC, VERSIONS, Raw
from tests.hosts.processes import until
from tests.hosts.slow import slow
from tests.patience import PATIENCE
from tests.servers import HOST, Server

__all__ = ["serve"]

LEASE = {"name": "lease_events", "arguments": {"group": GROUP}}
FIRST, ANSWERED = 100, 101
"""The numbers of requests."""


def is_free(server: Server) -> bool:
    """Whether the event waits for whoever comes next, as if it had not been delivered."""
    with server.admin() as client:
        (entry,) = client.xpending_range(TOPIC, GROUP, "-", "+", 10) or [None]
    return entry is not None and entry["times_delivered"] == 0


def cancelled(number: int) -> dict[str, Any]:
    parameters = {"requestId": number, "reason": "the request timed out"}
    return {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": parameters}


def call(number: int, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": parameters}


class Session:
    """A session over HTTP whose requests are raw ones."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._client = httpx.Client(base_url=served.url, timeout=PATIENCE, headers=BOTH)
        greeting = self._client.post("/mcp", json=INITIALIZE)
        self._client.headers["mcp-session-id"] = greeting.headers["mcp-session-id"]
        self._client.headers["mcp-protocol-version"] = "2025-06-18"
        self.send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def send(self, message: dict[str, Any]) -> str:
        """Send a message; what is answered."""
        answer = self._client.post("/mcp", json=message)
        assert answer.status_code in {200, 202}
        return answer.text

    @contextmanager
    def asking(self, message: dict[str, Any]) -> Iterator[None]:
        """A request whose client closes its connection at the end of a block."""
        body = json.dumps(message)
        headers = {**self._client.headers, "content-type": "application/json", "host": HOST}
        headers["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        port = httpx.URL(self._served.url).port or 0
        with socket.create_connection((HOST, port)) as connection:
            connection.sendall(f"POST /mcp HTTP/1.1\r\n{lines}\r\n{body}".encode())
            yield

    def close(self) -> None:
        self._client.close()


@pytest.fixture
def session(serve: Callable[..., Served], request: pytest.FixtureRequest) -> Iterator[Session]:
    opened = Session(serve(request.param))
    publish = {"name": "publish_event", "arguments": {"payload": ENVELOPE}}
    opened.send(call(1, publish))
    opened.send(call(2, LEASE))
    opened.send(call(3, {"name": "release", "arguments": {}}))  # now there is the group
    yield opened
    opened.close()


@pytest.mark.parametrize("session", VERSIONS, indirect=True)
def test_a_closed_connection_gives_back_what_its_call_leases(session: Session, server: Server) -> None:
    with slow(server) as waits, session.asking(call(FIRST, LEASE)):
        waits()
    until(lambda: is_free(server), "the event to be given back")
    assert "You hold nothing" in session.send(call(4, {"name": "ack", "arguments": {}}))
    assert "1 event" in session.send(call(5, LEASE))


@pytest.mark.parametrize("session", VERSIONS, indirect=True)
def test_a_closed_connection_ends_a_call_that_waits(session: Session, server: Server) -> None:
    session.send(call(4, LEASE))
    session.send(call(5, {"name": "ack", "arguments": {}}))
    with server.admin() as client:
        before = int(client.info("clients")["blocked_clients"])

        def waiting() -> int:
            return int(client.info("clients")["blocked_clients"]) - before

        arguments = LEASE["arguments"] | {"wait_seconds": 20}  # type: ignore[operator]
        with session.asking(call(FIRST, {"name": "lease_events", "arguments": arguments})):
            until(lambda: waiting() > 0, "the call to wait")
        until(lambda: waiting() == 0, "the call to end")
    another = {"name": "publish_event", "arguments": {"payload": ENVELOPE | {"event_id": "Ev2"}}}
    session.send(call(6, another))
    numbers = itertools.count(7)  # the call may have taken it just before it ended
    until(lambda: "1 event" in session.send(call(next(numbers), LEASE)), "the event to be leased")


@pytest.mark.parametrize("session", VERSIONS, indirect=True)
def test_a_request_that_is_cancelled_after_its_answer_over_http_gives_back(
    session: Session, server: Server
) -> None:
    """The client has dropped that answer: it stopped waiting just before."""
    assert "1 event" in session.send(call(ANSWERED, LEASE))
    assert not is_free(server)
    session.send(cancelled(ANSWERED))
    until(lambda: is_free(server), "the event to be given back")
    assert "1 event" in session.send(call(4, LEASE))


@pytest.mark.parametrize("session", VERSIONS, indirect=True)
def test_a_late_cancel_over_http_leaves_a_newer_lease_alone(session: Session, server: Server) -> None:
    assert "1 event" in session.send(call(FIRST, LEASE))
    session.send(call(4, {"name": "release", "arguments": {}}))
    assert "1 event" in session.send(call(ANSWERED, LEASE))
    session.send(cancelled(FIRST))
    assert "1 acknowledged" in session.send(call(5, {"name": "ack", "arguments": {}}))


@pytest.mark.parametrize("version", VERSIONS)
def test_a_request_that_is_cancelled_over_stdio_gives_back(
    version: str, start: Start, server: Server, redis_url: str
) -> None:
    raw = Raw(start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True))
    raw.call("publish_event", payload=ENVELOPE)
    raw.call("lease_events", group=GROUP)
    raw.call("release")
    with slow(server) as waits:
        raw.child.send(json.dumps(call(FIRST, LEASE)))
        waits()
        raw.child.send(json.dumps(cancelled(FIRST)))
    until(lambda: is_free(server), "the event to be given back")
    raw.child.send(json.dumps(call(ANSWERED, LEASE)))

    def is_answered(lines: list[str]) -> bool:
        return any(json.loads(line).get("id") == ANSWERED for line in lines)

    raw.child.wait_for(is_answered, "the answer")
    raw.call("release")
    assert "1 event" in str(raw.call("lease_events", group=GROUP))
    raw.child.send(json.dumps(cancelled(ANSWERED)))  # of what was settled since, and leased anew
    raw.call("stream_stats")
    assert not is_free(server)
    raw.call("release")
    raw.child.send(json.dumps(call(ANSWERED + 1, LEASE)))

    def is_answered_again(lines: list[str]) -> bool:
        return any(json.loads(line).get("id") == ANSWERED + 1 for line in lines)

    raw.child.wait_for(is_answered_again, "the answer")
    assert not is_free(server)
    raw.child.send(json.dumps(cancelled(ANSWERED + 1)))
    until(lambda: is_free(server), "the event to be given back")
    assert "You hold nothing" in str(raw.call("ack"))
    assert "1 event" in str(raw.call("lease_events", group=GROUP))


GIVEN_UP = range(1000, 1120)
"""The numbers of requests that are given up on, each a little later in its life than the one before."""


def delay(number: int) -> float:
    return (number % 40) * 0.0005


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "tool", [LEASE, {"name": "stream_stats", "arguments": {}}], ids=lambda one: one["name"]
)
def test_a_server_on_stdio_lives_on_whenever_a_request_is_cancelled(
    version: str, tool: dict[str, Any], start: Start, server: Server, redis_url: str
) -> None:
    raw = Raw(start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True))
    raw.call("publish_event", payload=ENVELOPE)
    raw.call("lease_events", group=GROUP)
    raw.call("release")
    for number in GIVEN_UP:
        raw.child.send(json.dumps(call(number, tool)))
        time.sleep(delay(number))
        raw.child.send(json.dumps(cancelled(number)))
    assert "slack_events" in str(raw.call("stream_stats"))
    until(lambda: is_free(server), "the event to be given back")


@pytest.mark.parametrize("session", VERSIONS, indirect=True)
def test_a_session_over_http_lives_on_whenever_a_request_is_cancelled(
    session: Session, server: Server
) -> None:
    for number in GIVEN_UP:
        with session.asking(call(number, LEASE)):
            time.sleep(delay(number))
            session.send(cancelled(number))
    until(lambda: is_free(server), "the event to be given back")
    assert "slack_events" in session.send(call(4, {"name": "stream_stats", "arguments": {}}))
