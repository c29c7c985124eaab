"""A server that refuses for a while is a pause, whoever asks it for whatever."""

import logging
from pathlib import Path
from typing import Any

import anyio
import pytest

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.errors import AbeRedisError
from abe_redis.publishing import publisher
from tests.integration.client.states import MAY_LOAD, STATES, State, busy, out_of_memory, without_replicas
from tests.integration.conftest import take_one, until
from tests.patience import PATIENCE
from tests.servers import Server, Servers

TOPIC = "slack_events"
SETTINGS: dict[str, Any] = {"redis_stream_patterns": TOPIC, "redis_stream_lease_seconds": 1}


@pytest.fixture(params=["make_server", "debian_redis"])
def server(request: pytest.FixtureRequest) -> Server:
    """A server of either kind that is the test's own."""
    servers: Servers = request.getfixturevalue(request.param)
    return servers(options=MAY_LOAD)


@pytest.fixture(params=list(STATES))
def state(request: pytest.FixtureRequest) -> State:
    return STATES[request.param]


def backend_of(server: Server, **more: Any) -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings(redis_url=server.url, **SETTINGS | more))


async def test_a_publish_waits_for_its_end(
    server: Server, state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)  # the end itself may take long
    async with backend_of(server) as backend, anyio.create_task_group() as tasks:
        await backend.publish(TOPIC, {"n": 0})
        with state(server):
            tasks.start_soon(backend.publish, TOPIC, {"n": 1})
            await anyio.sleep(0.3)
    with server.admin() as admin:
        assert admin.xlen(TOPIC) == 2


async def test_a_publish_says_what_kept_it_from_succeeding(server: Server, state: State) -> None:
    async with backend_of(server) as backend:
        with state(server), pytest.raises(AbeRedisError) as caught:
            await backend.publish(TOPIC, {"n": 1})
    assert "publishing to 'slack_events'" in str(caught.value)


async def test_consumers_of_either_kind_go_on_after_it(
    server: Server, state: State, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        backend_of(server) as backend,
        backend.consume() as events,
        backend.consume_ordered(group="ordered") as ordered,
    ):
        await backend.publish(TOPIC, {"n": 0})
        for stream in (events, ordered):
            assert await take_one(stream) == {"n": 0}
        caplog.clear()
        with state(server):
            async with anyio.create_task_group() as tasks:
                waiting = [_Next(stream) for stream in (events, ordered)]
                for one in waiting:
                    tasks.start_soon(one.take)
                await until(lambda: _said(caplog, "no memory left" if state is out_of_memory else "again"))
                tasks.cancel_scope.cancel()
        assert not [one.error for one in waiting if one.error], "neither has ended"
        await backend.publish(TOPIC, {"n": 1})
        for one in waiting:
            assert one.event == {"n": 1} or await take_one(one.stream) == {"n": 1}


class _Next:
    """Somebody who asks for the next event."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream
        self.event: Event | None = None
        self.error: AbeRedisError | None = None

    async def take(self) -> None:
        try:
            self.event = await anext(self.stream)
        except AbeRedisError as error:
            self.error = error


async def _said(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    return any(words in one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_worker_handles_all_of_a_backlog_across_it(
    server: Server, state: State, ordered: bool
) -> None:
    """Also what its handlers finish, give back or bury while the server refuses."""
    handled: list[int] = []
    begun = anyio.Event()
    go_on = anyio.Event()

    async def handle(event: Event) -> None:
        if event["n"] % 10 == 3 and event.deliveries == 1:
            begun.set()
            await go_on.wait()
            raise RuntimeError("once")
        handled.append(event["n"])
        if len(set(handled)) == 40:
            await worker.shutdown()

    async with backend_of(server) as backend, anyio.create_task_group() as tasks:
        await backend.publish_many(TOPIC, [{"n": number, "channel": str(number)} for number in range(40)])
        worker = EventWorker(backend, handle, concurrency=8, ordered=ordered)
        with anyio.fail_after(PATIENCE):
            tasks.start_soon(worker.run)
            await begun.wait()
            with state(server):
                go_on.set()
                await anyio.sleep(0.5)
            while len(set(handled)) < 40:
                await anyio.sleep(0.05)
    assert set(handled) == set(range(40))


async def test_the_outbox_keeps_what_cannot_be_taken(server: Server, state: State, tmp_path: Path) -> None:
    async with backend_of(server, redis_outbox=tmp_path / "outbox") as backend:
        with state(server):
            assert (await backend.publish_event(TOPIC, {"n": 1})).is_kept

        async def delivered() -> bool:
            return (await backend.outbox_size()).waiting == 0

        await until(delivered)
        assert (await backend.outbox_size()).refused == 0
    with server.admin() as admin:
        assert admin.xlen(TOPIC) == 1


async def test_the_doctor_names_it(server: Server, state: State) -> None:
    with state(server):
        findings = await examine(Settings(redis_url=server.url, **SETTINGS))
    assert [one for one in findings if one.severity == "problem"]
    assert not [one for one in findings if "Unexpected" in one.found]


async def test_the_sentence_says_what_to_do(server: Server) -> None:
    async with backend_of(server) as backend:
        with without_replicas(server), pytest.raises(AbeRedisError, match="min-replicas-to-write"):
            await backend.publish(TOPIC, {})
        with busy(server), pytest.raises(AbeRedisError, match="SCRIPT KILL"):
            await backend.publish(TOPIC, {})
        with out_of_memory(server), pytest.raises(AbeRedisError, match="maxmemory"):
            await backend.publish(TOPIC, {})


async def test_a_server_that_evicts_clients_is_a_pause_and_the_doctor_says_so(server: Server) -> None:
    """It cuts off whoever has large events in a buffer; 128 KiB for all is the least that it takes."""
    handled: set[int] = set()

    async def handle(event: Event) -> None:
        handled.add(event["n"])

    async def all_is_handled() -> bool:
        return handled == set(range(21))

    async with backend_of(server) as backend, anyio.create_task_group() as tasks:
        with server.admin() as admin:
            admin.config_set("maxmemory-clients", "1")
            with pytest.raises(AbeRedisError, match=r"TLS.*maxmemory-clients"):
                await backend.publish(TOPIC, {"n": 0, "text": "x" * 300_000})
            for number in range(20):
                await backend.publish(TOPIC, {"n": number, "text": "x" * 30_000})
            worker = EventWorker(backend, handle)
            tasks.start_soon(worker.run)
            await backend.publish(TOPIC, {"n": 20})
            findings = await examine(backend.settings)
            assert [one for one in findings if one.check == "clients" and "has cut off" in one.found]
            admin.config_set("maxmemory-clients", "0")
        await until(all_is_handled)
        await worker.shutdown()


async def test_no_worker_is_called_dead_while_the_server_takes_no_writes(server: Server) -> None:
    """Nothing shows that it lives, since a read of a group is a write."""
    async with backend_of(server) as backend:
        await backend.publish_many(TOPIC, [{"n": 0}, {"n": 1}])
        assert await take_one(backend.consume()) == {"n": 0}
        operations = Operations(backend)

        async def looks_dead() -> bool:
            (stream,) = await operations.glance(stream=TOPIC)
            return stream.health == "stalled"

        with without_replicas(server):
            await until(looks_dead)
            streams = await operations.glance(stream=TOPIC)
            causes = await operations.causes(streams)
            findings = await examine(backend.settings)
    assert "min-replicas-to-write" in causes[0]
    assert streams[0].health == "working"
    said = " ".join([streams[0].advice, *(f"{one.found} {one.advice}" for one in findings)])
    for words in ("is alive", "is gone or frozen", "has been silent", "group remove"):
        assert words not in said
