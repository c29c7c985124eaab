"""Too many of everything at once: waiting calls, half-sent requests, sessions, bytes."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import anyio
import httpx
import pytest
import redis

from abe_redis.mcp import http
from tests.attacks.conftest import LINES, OpenDoor
from tests.attacks.tally import Tally
from tests.attacks.wire import HANDSHAKE, MODERN, Agent
from tests.hosts.processes import until
from tests.patience import PATIENCE
from tests.servers import HOST

BOTH = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
WAITS, STREAM = 120, "slack_events"


def initialize(number: int = 0) -> dict[str, Any]:
    parameters = {
        "protocolVersion": HANDSHAKE,
        "capabilities": {},
        "clientInfo": {"name": "x", "version": "0"},
    }
    return {"jsonrpc": "2.0", "id": number, "method": "initialize", "params": parameters}


@pytest.mark.promise("The headers `Host` and `Origin` are checked")
@pytest.mark.anyio
async def test_a_host_and_an_origin_are_names_with_a_port_and_nothing_else() -> None:
    tally, codes = Tally("hosts and origins that only begin well"), list[int]()

    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    async def code(name: str, value: str) -> int:
        headers = [(name.encode(), value.encode())]
        await http.http_app(app, None)({"type": "http", "path": "/mcp", "headers": headers}, receive, send)
        return codes.pop()

    for evil in (
        "127.0.0.1:8765@evil.com", "127.0.0.1:8765.evil.com", "localhost:x@evil.com", "localhost:",
        "localhost:80:80", "localhost:80/evil", "localhost:80#evil", "localhost:80?evil",
        "localhost:80\\@evil", "[::1]:1@evil", "a b",
    ):  # fmt: skip
        tally.tried(f"Host: {evil}", escaped=await code("host", evil) != 421)
        for scheme in ("http", "https"):
            tally.tried(f"Origin: {evil}", escaped=await code("origin", f"{scheme}://{evil}") != 421)
    tally.check(least=33)
    for good in ("localhost", "127.0.0.1:8765", "[::1]:8765", "mcp.example.com", "mcp_1.internal:80"):
        assert await code("host", good) == 200
        assert await code("origin", f"http://{good}") == 200
    assert await code("origin", "null") == 200, "which the SDK refuses"


@pytest.mark.promise("At most 256 requests go on at the same time")
@pytest.mark.parametrize("version", LINES)
def test_calls_that_wait_take_few_connections(version: str, door: OpenDoor, redis_url: str) -> None:
    tally, served = Tally(f"taking connections with waiting calls, SDK {version}"), door(version)
    agents = [served.agent(f"agent-{number}") for number in range(12)]
    answers: list[str] = []
    most = 0

    async def called(number: int, stream: str, http_client: httpx.AsyncClient) -> str:
        call = {"name": "read_stream", "arguments": {"stream": stream, "wait_seconds": 20}}
        message = {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": call}
        answered = await http_client.post(
            "/mcp", json=message, headers={"mcp-session-id": agents[number % 12].session}
        )
        return answered.text

    async def wait(number: int, http_client: httpx.AsyncClient) -> None:
        answers.append(await called(number, "slack:quiet", http_client))

    async def play() -> None:
        nonlocal most
        limits = httpx.Limits(max_connections=None)
        async with (
            httpx.AsyncClient(base_url=served.url, headers=BOTH, limits=limits, timeout=PATIENCE) as client,
            anyio.create_task_group() as tasks,
        ):
            with redis.Redis.from_url(redis_url) as watching, anyio.fail_after(PATIENCE):
                watching.xgroup_create("slack:quiet", "workers", mkstream=True)
                for number in range(WAITS):
                    tasks.start_soon(wait, number + 10, client)
                while len(answers) < WAITS - 32:
                    most = max(most, len(watching.client_list()))
                    await anyio.sleep(0.05)
                at_once = sum("did not wait" in one for one in answers)
                assert at_once == len(answers) == WAITS - 32
                absent = await called(WAITS + 10, "slack:absent", client)
                assert "does not exist" in absent
                assert "did not wait" in absent
                watching.xadd("slack:quiet", {"data": "{}"})  # which ends the waits

    anyio.run(play)
    for answered in answers:
        tally.tried("a wait", escaped='"isError":true' in answered.replace(" ", ""))
    tally.tried(f"{most} connections", escaped=most > 64)
    tally.check(least=WAITS)


@pytest.fixture
def crowd() -> Iterator[ExitStack]:
    with ExitStack() as sockets:
        yield sockets


BEGINNINGS = (
    b"",
    b"P",
    b"POST /mcp HTTP/1.1\r\n",
    b"POST /mcp HTTP/1.1\r\nHost: localhost\r\nX: ",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nG",
)


@pytest.mark.promise("The head of a request has 10 s")
@pytest.mark.promise("Of at most 512 connections")
def test_requests_that_never_end_keep_nobody_out(door: OpenDoor, crowd: ExitStack) -> None:
    tally, served = Tally("keeping others out with half-sent requests"), door("2.3")
    sockets = []
    for number in range(600):
        one = crowd.enter_context(socket.create_connection((HOST, served.port), timeout=PATIENCE))
        one.sendall(BEGINNINGS[number % len(BEGINNINGS)])
        sockets.append(one)
        if number % 60 == 59:
            code: object
            try:
                code = httpx.post(
                    f"{served.url}/mcp", json=initialize(), headers=BOTH, timeout=PATIENCE
                ).status_code
            except httpx.HTTPError as error:
                code = repr(error)
            tally.tried(f"with {number + 1} of them: {code}", escaped=code != 200)

    def are_ended() -> bool:
        return all(map(is_ended, sockets))

    until(are_ended, "all of them to be ended")
    tally.check(least=10)


def is_ended(one: socket.socket) -> bool:
    one.settimeout(0.01)
    try:
        while one.recv(4096):
            pass
    except TimeoutError:
        return False
    except OSError:
        return True
    return True


@pytest.mark.promise("At most 256 requests go on at the same time")
@pytest.mark.promise("A new session replaces one that was never used")
@pytest.mark.parametrize("version", LINES)
def test_sessions_are_bounded_and_unused_ones_make_room(version: str, door: OpenDoor, redis_url: str) -> None:
    with redis.Redis.from_url(redis_url) as queue:
        queue.xadd(STREAM, {"data": "{}"})
    tally, served = Tally(f"opening sessions without bound, SDK {version}"), door(version)
    with httpx.Client(base_url=served.url, headers=BOTH, timeout=PATIENCE) as client:
        for method in ("GET", "DELETE", "PUT", "OPTIONS"):
            for _ in range(30):
                code = client.request(method, "/mcp").status_code
                tally.tried(f"{method} without a session", escaped=code < 400)
        for number in range(60):  # one line of the SDK would keep a session for each
            junk = [{"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"x": 1}, "x", []][number % 4]
            tally.tried("junk", escaped=client.post("/mcp", json=junk).status_code == 200)
        worker = served.agent("worker")
        (held,) = worker.call("lease_events", stream=STREAM, group="agents")["events"]
        opened = []
        for number in range(230):
            answered = client.post("/mcp", json=initialize(number))
            tally.tried(f"to keep others out with session {number}", escaped=answered.status_code != 200)
            opened.append(answered.headers["mcp-session-id"])
        ping = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
        codes = [
            client.post("/mcp", json=ping, headers={"mcp-session-id": one}).status_code for one in opened
        ]
        tally.tried("to have more than 200 sessions", escaped=codes != [404] * 31 + [200] * 199)
        acked = worker.call("ack", stream=STREAM, group="agents", ids=[held["id"]])["acked"]
        tally.tried("to end a session that works", escaped=acked != [held["id"]])
    tally.check(least=400)


@pytest.mark.promise("The head of a request has 10 s")
@pytest.mark.parametrize("version", LINES)
def test_a_body_is_bounded(version: str, door: OpenDoor) -> None:
    served = door(version)

    def pieces() -> Iterator[bytes]:
        for _ in range(5 * 16):
            yield b" " * 65_536

    for body in (b" " * (4 * 1024 * 1024 + 1), pieces()):
        try:
            code = httpx.post(f"{served.url}/mcp", content=body, headers=BOTH, timeout=PATIENCE).status_code
        except httpx.TransportError:  # it hung up while the body was on its way
            continue
        assert code == 413
    assert served.agent().call("stream_stats") is not None


async def never_ends() -> dict[str, Any]:
    await anyio.sleep(0.01)
    return {"type": "http.request", "body": b" ", "more_body": True}


@pytest.mark.promise("The head of a request has 10 s")
@pytest.mark.anyio
async def test_a_body_that_never_ends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "BODY_SECONDS", 0.1)
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    async def app(*_: Any) -> None:
        raise AssertionError("it is not called")

    scope = {"type": "http", "path": "/mcp", "method": "POST", "headers": []}
    await http.http_app(app, None)(scope, never_ends, send)
    assert said[0]["status"] == 408


@pytest.mark.promise("At most 256 requests go on at the same time")
@pytest.mark.promise("`/healthz` needs no token and is not counted.")
@pytest.mark.anyio
async def test_requests_at_the_same_time_are_bounded_and_health_is_answered() -> None:
    tally, codes, free = Tally("too many requests at the same time"), list[int](), anyio.Event()

    async def app(_: Any, __: Any, send: Any) -> None:
        await free.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    guarded: Any = http.http_app(app, None)
    async with anyio.create_task_group() as tasks:
        for _ in range(300):
            tasks.start_soon(guarded, {"type": "http", "path": "/mcp", "headers": []}, receive, send)
        await anyio.wait_all_tasks_blocked()
        for code in codes:
            tally.tried("one more", escaped=code != 503)
        await guarded({"type": "http", "path": "/healthz", "headers": []}, receive, send)
        assert codes.pop() == 200
        free.set()
    assert codes.count(200) == 256
    tally.check(least=44)


@pytest.mark.promise("A client follows at most 100 resources")
@pytest.mark.parametrize("version", LINES)
def test_what_one_client_follows_is_bounded_and_others_follow_on(version: str, door: OpenDoor) -> None:
    there = door(version)
    greedy, modest = there.agent("greedy"), there.agent("modest")

    def follow(agent: Agent, number: int) -> str:
        uri = {"uri": f"abe-redis://streams/slack:{number}"}
        return agent.http.post("/mcp", json=agent.message("resources/subscribe", uri)).text

    tally = Tally(f"following more than it may, SDK {version}")
    assert not [number for number in range(100) if "error" in follow(greedy, number)]
    for number in range(100, 105):
        tally.tried("one more", escaped="more than 100 resources" not in follow(greedy, number))
    assert "error" not in follow(greedy, 7), "which it follows already"
    assert "error" not in follow(modest, 104)
    tally.check(least=5)


def test_the_streams_of_a_client_without_a_session_are_bounded_together(door: OpenDoor) -> None:
    agent = door("2.3").agent("greedy", modern=True)
    meta = {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "greedy", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }

    @contextmanager
    def listening(numbers: range) -> Iterator[str]:
        """What comes first."""
        uris = [f"abe-redis://streams/slack:{number}" for number in numbers]
        call = agent.message(
            "subscriptions/listen", {"notifications": {"resourceSubscriptions": uris}, "_meta": meta}
        )
        headers = {"Mcp-Method": "subscriptions/listen"}
        with agent.http.stream("POST", "/mcp", json=call, headers=headers) as stream:
            parts = (part for part in stream.iter_text() if "{" in part)
            yield next(parts)  # the stream would end with the generator

    with listening(range(60)) as first:
        assert "error" not in first
        with listening(range(30, 101)) as second:
            assert "more than 100 resources" in second
        with listening(range(30, 100)) as second:
            assert "error" not in second
