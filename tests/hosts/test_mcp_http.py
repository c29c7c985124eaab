"""`abe-redis mcp --http`: many clients at a time, on every line of the SDK; who may call, and its end."""

import signal
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import httpx
import pytest
from mcp import ClientSession
from mcp.types import ResourceUpdatedNotification, ServerNotification
from pydantic import AnyUrl

from abe_redis.schemas import MAX_WAIT_SECONDS
from tests.hosts import environments
from tests.hosts.mcp_http import BOTH, INITIALIZE, VERSIONS, Served, serve
from tests.hosts.processes import until
from tests.patience import PATIENCE

__all__ = ["serve"]

NEWEST = environments.NEWEST_SDKS


@pytest.mark.parametrize("version", VERSIONS)
def test_clients_do_not_wait_for_each_other(version: str, serve: Callable[..., Served]) -> None:
    served = serve(version)
    done: list[str] = []

    async def waits(name: str) -> None:
        async with served.client() as session:
            found = False
            while not found:  # on a slow machine the others take longer than one wait
                answer = await session.call_tool("read_stream", {"wait_seconds": 20})
                found = "1 event" in str(answer.content)
            done.append(name)

    async def works(number: int) -> None:
        async with served.client() as session:
            for _ in range(20):
                answer = await session.call_tool("stream_stats", {})
                assert not answer.isError
            done.append(f"worker {number}")

    async def play() -> None:
        async with anyio.create_task_group() as all_of_them:
            for name in ("first", "second"):
                all_of_them.start_soon(waits, name)
            async with anyio.create_task_group() as workers:
                for number in range(6):
                    workers.start_soon(works, number)
            assert len(done) == 6
            async with served.client() as session:  # what they wait for
                while len(done) < 8:  # one may come between two waits
                    await session.call_tool("publish_event", {"payload": {"type": "message"}})
                    await anyio.sleep(0.5)

    anyio.run(play)
    assert sorted(done)[:2] == ["first", "second"]
    served.child.signal(signal.SIGTERM)
    assert served.child.wait() == 0


@pytest.mark.parametrize("version", VERSIONS)
def test_each_client_hears_of_what_it_listens_to(version: str, serve: Callable[..., Served]) -> None:
    served = serve(version)
    heard: dict[str, list[str]] = {"stays": [], "leaves": [], "unsubscribes": []}

    def hear(name: str) -> Any:
        async def note(message: Any) -> None:
            if isinstance(message, ServerNotification) and isinstance(
                message.root, ResourceUpdatedNotification
            ):
                heard[name].append(str(message.root.params.uri))

        return note

    async def publish(session: ClientSession, stream: str) -> None:
        answer = await session.call_tool(
            "publish_event", {"payload": {"type": "message"}, "stream": f"slack:{stream}"}
        )
        assert not answer.isError

    async def play() -> None:
        uri = "abe-redis://streams/slack%3A"
        async with (
            served.client(hear=hear("stays")) as stays,
            served.client(hear=hear("unsubscribes")) as unsubscribes,
        ):
            async with served.client(hear=hear("leaves")) as leaves:
                for session in (stays, unsubscribes, leaves):
                    await session.subscribe_resource(AnyUrl(f"{uri}a"))
                await publish(stays, "a")
                while not all(heard.values()):
                    await anyio.sleep(0.05)
            await unsubscribes.unsubscribe_resource(AnyUrl(f"{uri}a"))
            await unsubscribes.subscribe_resource(AnyUrl(f"{uri}b"))
            await publish(stays, "a")
            await publish(stays, "b")
            while len(heard["stays"]) < 2 or len(heard["unsubscribes"]) < 2:
                await anyio.sleep(0.05)
        assert heard == {
            "stays": [f"{uri}a"] * 2,
            "leaves": [f"{uri}a"],
            "unsubscribes": [f"{uri}a", f"{uri}b"],
        }

    anyio.run(play)


@pytest.mark.parametrize("version", NEWEST)
def test_each_client_has_leases_of_its_own(version: str, serve: Callable[..., Served]) -> None:
    served = serve(version)

    async def call(session: ClientSession, tool: str, **arguments: object) -> dict[str, Any]:
        answer = await session.call_tool(tool, arguments)
        assert not answer.isError, answer
        found: dict[str, Any] = answer.structuredContent or {}
        return found

    async def play() -> None:
        async with served.client() as first, served.client() as second:
            for _ in range(2):
                await call(first, "publish_event", payload={"type": "message"}, stream="slack:a")
            taken = {}
            for name, session in {"first": first, "second": second}.items():
                lease = await call(session, "lease_events", stream="slack:a", group="agents", count=1)
                taken[name] = lease["events"][0]["id"]
            others = {"stream": "slack:a", "group": "agents", "ids": [taken["first"]]}
            assert (await call(second, "ack", **others))["not_held"] == [taken["first"]]
            assert (await call(second, "release", **others))["not_held"] == [taken["first"]]
            assert (await call(first, "ack", **others))["acked"] == [taken["first"]]
            held = await call(first, "read_stream", stream="slack:a", group="agents", pending=True)
            assert [one["id"] for one in held["events"]] == [taken["second"]]
            named = others | {"ids": [taken["second"]], "consumer": held["events"][0]["holder"]}
            assert (await call(first, "ack", **named))["not_held"] == [taken["second"]]
        async with served.client() as third:  # gets what the second, which has ended its session, had
            with anyio.fail_after(PATIENCE):
                while not (await call(third, "lease_events", stream="slack:a", group="agents"))["events"]:
                    await anyio.sleep(0.1)

    anyio.run(play)
    served.child.signal(signal.SIGTERM)
    assert served.child.wait() == 0


@pytest.mark.parametrize("version", NEWEST)
def test_a_session_that_its_client_abandoned_ends_and_its_leases_are_free(
    version: str, serve: Callable[..., Served]
) -> None:
    served = serve(version, "--idle-seconds", "2")
    with httpx.Client(base_url=served.url, timeout=PATIENCE) as client:

        def open_session() -> dict[str, str]:
            greeting = client.post("/mcp", json=INITIALIZE, headers=BOTH)
            return BOTH | {"mcp-session-id": greeting.headers["mcp-session-id"]}

        def call(session: dict[str, str], tool: str, **arguments: object) -> httpx.Response:
            params = {"name": tool, "arguments": arguments}
            request = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": params}
            return client.post("/mcp", json=request, headers=session)

        def takes_it(session: dict[str, str]) -> bool:
            answer = call(session, "lease_events", group="agents")
            return '"deliveries":1' in answer.text.replace(" ", "")

        def abandon() -> dict[str, str] | None:  # on a busy machine it may end between two calls
            session = open_session()
            return session if takes_it(session) else None

        until(lambda: call(open_session(), "publish_event", payload={"n": 1}).status_code == 200, "an event")
        abandoned = until(abandon, "a session with a lease") or {}
        until(lambda: takes_it(open_session()), "the lease of the abandoned session to be given back")
        assert call(abandoned, "stream_stats").status_code == 404


@pytest.mark.parametrize("version", VERSIONS)
def test_a_call_that_waits_gives_signs_of_life(version: str, serve: Callable[..., Served]) -> None:
    served = serve(version)
    told: list[tuple[float, float | None]] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        assert message == "waiting for an event"
        told.append((progress, total))

    async def wait(session: ClientSession) -> None:
        waits = {"wait_seconds": MAX_WAIT_SECONDS}
        answer = await session.call_tool("read_stream", waits, progress_callback=note)
        assert not answer.isError

    async def play() -> None:
        async with served.client() as session:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait, session)
                while len(told) < 2:
                    await anyio.sleep(0.05)
                await session.call_tool("publish_event", {"payload": {"type": "message"}})
            refused = await session.call_tool("read_stream", {"stream": "elsewhere", "wait_seconds": 3})
            assert refused.isError
            assert "may touch" in str(refused.content)

    anyio.run(play)
    assert [most for _, most in told] == [max(MAX_WAIT_SECONDS, seconds) for seconds, _ in told]
    assert 0.9 < told[0][0] < told[1][0]


@pytest.mark.parametrize("version", ["1.30", "2.3"])
def test_its_end_gives_back_what_agents_had(version: str, serve: Callable[..., Served]) -> None:
    served = serve(version, forked=False)

    async def lease() -> list[Any]:
        async with served.client() as session:
            await session.call_tool("publish_event", {"payload": {"type": "message"}})
            answer = await session.call_tool("lease_events", {"group": "agents"})
            # The client still is there, and listens for news.
            served.child.signal(signal.SIGTERM)
            assert await anyio.to_thread.run_sync(served.child.wait) == 0
            return list((answer.structuredContent or {})["events"])

    assert len(anyio.run(lease)) == 1
    assert "Serving on" in served.child.stderr
    assert "ERROR" not in served.child.stderr
    again = serve(version)

    async def take() -> Any:
        async with again.client() as session:
            return (await session.call_tool("lease_events", {"group": "agents"})).structuredContent

    (event,) = anyio.run(take)["events"]
    assert event["deliveries"] == 1


@pytest.mark.parametrize("version", VERSIONS)
def test_a_client_that_leaves_is_no_error_in_the_log(version: str, serve: Callable[..., Served]) -> None:
    served = serve(version, forked=False)

    async def play() -> None:
        for _ in range(2):
            async with served.client() as session:
                await session.call_tool("stream_stats", {})

    anyio.run(play)
    assert served.status("/healthz") == 200
    served.child.process.send_signal(signal.SIGTERM)
    assert served.child.process.wait(PATIENCE) == 0
    assert "SSE writer" not in served.child.stderr, served.child.stderr
