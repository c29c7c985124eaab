"""Sentinels and clusters: a failover is a pause, and slots that move are a detour."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.exceptions import RedisError

from abe_redis import AbeRedisError, Event, EventStream, RedisMessageQueueBackend, Settings
from abe_redis.client.topology.slots import slot_of
from abe_redis.errors import RedisUnavailableError
from abe_redis.operations.operations import Operations
from abe_redis.publishing import publisher
from abe_redis.streams import names
from tests.integration.conftest import take, take_one, until
from tests.patience import PATIENCE
from tests.servers import Server
from tests.topologies import Cluster, Sentinels


@pytest.fixture
def sentinels(binary: Path) -> Iterator[Sentinels]:
    with Sentinels(binary) as running:
        yield running


@pytest.fixture
def cluster(binary: Path) -> Iterator[Cluster]:
    with Cluster(binary) as running:
        yield running


@dataclass
class Load:
    """Events that are published and consumed while things break, and what became of them."""

    settings: Settings
    streams: list[str]
    consumers: int = 2
    accepted: list[str] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    handled: Counter[str] = field(default_factory=Counter)
    _stopping: bool = False

    async def publish(self, publisher: int, backend: RedisMessageQueueBackend) -> None:
        number = 0
        while not self._stopping:
            name = f"{publisher}-{number}"
            envelope = {"type": "event_callback", "event_id": f"Ev{name}", "name": name}
            try:
                await backend.publish(self.streams[(7 * number + publisher) % len(self.streams)], envelope)
            except AbeRedisError as error:
                self.refused[type(error).__name__] += 1  # it is tried again, as Slack does
            else:
                self.accepted.append(name)
                number += 1
            await anyio.sleep(0.002)

    async def consume(self, backend: RedisMessageQueueBackend) -> None:
        async for event in backend.consume():
            self.handled[event["name"]] += 1

    @asynccontextmanager
    async def running(self, *, publishers: int = 3) -> AsyncIterator["Load"]:
        """Publish and consume during the body, then wait until all that was accepted is handled."""
        async with RedisMessageQueueBackend(self.settings) as backend, anyio.create_task_group() as readers:
            for _ in range(self.consumers):
                readers.start_soon(self.consume, backend)
            async with anyio.create_task_group() as writers:
                for number in range(publishers):
                    writers.start_soon(self.publish, number, backend)
                await self.goes_on()
                yield self
                self._stopping = True
            await until(self._all_handled, seconds=PATIENCE)
            readers.cancel_scope.cancel()

    async def goes_on(self, count: int = 200) -> None:
        """Wait until so many more are accepted, and handled."""
        accepted, handled = len(self.accepted), self.handled.total()

        async def both() -> bool:
            return len(self.accepted) >= accepted + count and self.handled.total() >= handled + count

        await until(both, seconds=PATIENCE)

    async def _all_handled(self) -> bool:
        return set(self.accepted) <= self.handled.keys()


# Sentinel -------------------------------------------------------------------------------------------


@pytest.mark.promise("Consumers pause, and go on with the new primary.")
async def test_a_planned_failover_is_a_pause(sentinels: Sentinels) -> None:
    """The old primary takes events for a moment yet, and one replica follows it: both must have each."""
    settings = Settings(redis_url=sentinels.url, redis_stream_lease_seconds=2, redis_wait_replicas=2)
    async with Load(settings, ["slack_events", "slack:other"]).running() as load:
        await asyncio.to_thread(sentinels.failover)
        await load.goes_on()
    assert load.handled.keys() >= set(load.accepted)


@pytest.mark.promise("Consumers pause, and go on with the new primary.")
@pytest.mark.promise("Publishing pauses")
@pytest.mark.promise("Sentinel or cluster, `REDIS_WAIT_REPLICAS=1` or more")
@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_primary_that_is_gone_is_a_pause(sentinels: Sentinels, how: str) -> None:
    settings = Settings(redis_url=sentinels.url, redis_stream_lease_seconds=2, redis_wait_replicas=1)
    async with Load(settings, ["slack_events", "slack:other"]).running() as load:
        before = sentinels.primary()
        getattr(before, how)()
        await load.goes_on()
        await asyncio.to_thread(sentinels.wait_moved, before)
        sentinels.revive()
        await asyncio.to_thread(sentinels.wait_settled)
        await load.goes_on()
    assert load.handled.keys() >= set(load.accepted)


@pytest.mark.promise("Sentinels get their own credentials, never those for the servers.")
async def test_passwords_of_servers_and_sentinels_are_two(binary: Path) -> None:
    with Sentinels(binary, password="for-servers", sentinel_password="for-sentinels") as running:
        settings = Settings(
            redis_url=running.url, redis_password="for-servers", redis_sentinel_password="for-sentinels"
        )
        async with RedisMessageQueueBackend(settings) as backend:
            await backend.publish("slack_events", {"n": 1})
            async with backend.consume() as events:
                assert dict(await take_one(events)) == {"n": 1}
        wrong = Settings(redis_url=running.url, redis_password="for-servers", redis_sentinel_password="x")
        async with RedisMessageQueueBackend(wrong) as backend:
            with pytest.raises(AbeRedisError) as failure:
                await backend.publish("slack_events", {"n": 1})
            assert "for-" not in str(failure.value)


# Replicas -------------------------------------------------------------------------------------------


@pytest.mark.promise("A retry does not add it twice")
@pytest.mark.promise("When too few replicas confirm within a second")
async def test_without_its_replicas_an_event_does_not_count_as_published(sentinels: Sentinels) -> None:
    settings = Settings(redis_url=sentinels.url, redis_wait_replicas=2)
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish("slack_events", {"n": 1})
        for server in sentinels.servers:
            if server is not sentinels.primary():
                server.freeze()
        with pytest.raises(AbeRedisError):
            await backend.publish_event("slack_events", {"n": 2}, event_id="Ev2")
        sentinels.revive()
        await asyncio.to_thread(sentinels.wait_settled)
        assert (await backend.publish_event("slack_events", {"n": 2}, event_id="Ev2")).id
        with sentinels.admin() as admin:
            assert admin.xlen("slack_events") == 2, "and it is there once"


@pytest.mark.promise("The error says that the event is in the stream all the same")
async def test_an_event_that_too_few_replicas_have_is_not_said_to_be_away(lone_server: Server) -> None:
    lone_server.reset()
    settings = Settings(redis_url=lone_server.url, redis_wait_replicas=1)
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(RedisUnavailableError) as caught:
            await backend.publish("slack_events", {"n": 1})
        connections = await backend.connections()
        assert await connections.commands.xlen("slack_events") == 1
    assert str(caught.value).startswith(
        f"Redis at {lone_server.url} was reached and has what publishing to 'slack_events' wrote, but 0 of 1 "
        "replicas had it within 1 s, so it does not count as published (REDIS_WAIT_REPLICAS is 1). "
        "Consumers get the event, unless a failover loses it"
    )


# Cluster --------------------------------------------------------------------------------------------


@pytest.mark.promise("A stream, its dead letters and its helper keys live in one slot")
async def test_everything_works_in_a_cluster(cluster: Cluster) -> None:
    settings = Settings(redis_url=cluster.url, redis_stream_max_deliveries=1)
    streams = [f"slack:{number}" for number in range(8)] + ["slack:{tag}a", "slack:{tag}b", "slack_events"]
    async with RedisMessageQueueBackend(settings) as backend:
        published = [await backend.publish_event(name, {"n": 0}) for name in streams]
        many = await backend.publish_many("slack_events", [{"n": number} for number in range(1, 250)])
        assert not any(one.duplicate for one in (*many, *published))
        async with backend.consume() as events:
            got: list[Event] = await take(events, 249 + len(streams))
            assert {event.stream for event in got} == set(streams)
            await got[-1].bury(reason="a test")
        overview = await Operations(backend).stream_stats()
        assert {one.stream for one in overview.streams} == set(streams)
        assert sum(one.dead_letters for one in overview.streams) == 1


@pytest.mark.promise("A consumer waits for new events with one blocking read per slot")
async def test_an_event_is_found_at_once_in_any_slot(cluster: Cluster) -> None:
    async with (
        RedisMessageQueueBackend(Settings(redis_url=cluster.url)) as backend,
        backend.consume() as events,
    ):
        for number in range(24):
            await backend.publish(f"slack:{number}", {"n": number})
            assert (await take_one(events))["n"] == number


async def test_events_that_come_while_the_handler_is_slow_run_once(cluster: Cluster) -> None:
    """The reads of other slots are under way, and bring events that nobody asks for."""
    settings = Settings(redis_url=cluster.url, redis_stream_lease_seconds=20)
    streams = [f"slack:{number}" for number in range(24)]
    handled: list[int] = []

    async def handle(events: EventStream, seconds: float) -> None:
        async for event in events:
            handled.append(event["n"])
            await anyio.sleep(seconds)

    async def both_read() -> bool:
        """By those who wait: before 7.2 Redis knows a consumer only once it was given something."""
        with cluster.client() as client:
            slots = {client.keyslot(name) for name in streams}
            facts: Any = client.info("clients", target_nodes="primaries")
        return bool(sum(node["blocked_clients"] for node in facts.values()) >= 2 * len(slots))

    async def all_handled() -> bool:
        return set(range(24)) <= set(handled)

    async with (
        RedisMessageQueueBackend(settings) as backend,
        backend.consume() as quick,
        backend.consume() as slow,
        anyio.create_task_group() as tasks,
    ):
        for name in streams:
            await backend.publish(name, {"n": -1})
        await take(quick, 24)
        tasks.start_soon(handle, quick, 0)
        tasks.start_soon(handle, slow, 3)
        await until(both_read, seconds=PATIENCE)
        await anyio.sleep(2)  # by then the slow one waits at every slot
        for number, name in enumerate(streams):
            await backend.publish(name, {"n": number})
        await until(all_handled, seconds=PATIENCE)
        await anyio.sleep(4)  # the slow one asks once more
        tasks.cancel_scope.cancel()
    assert sorted(number for number in handled if number >= 0) == list(range(24))


@pytest.mark.parametrize("how", ["kill", "freeze"])
async def test_a_node_that_is_gone_is_a_pause(cluster: Cluster, how: str) -> None:
    settings = Settings(redis_url=cluster.url, redis_stream_lease_seconds=2, redis_wait_replicas=1)
    streams = [f"slack:{number}" for number in range(32)]
    async with Load(settings, streams).running() as load:
        victim = cluster.primary_of("slack:0")
        getattr(victim, how)()

        async def replaced() -> bool:
            try:
                return await asyncio.to_thread(cluster.primary_of, "slack:0") is not victim
            except RedisError:
                return False

        await until(replaced, seconds=PATIENCE)
        cluster.revive()
        await load.goes_on()
    assert load.handled.keys() >= set(load.accepted)


@pytest.mark.promise("Commands follow a slot that moves.")
async def test_slots_that_move_are_a_detour(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
    settings = Settings(redis_url=cluster.url, redis_stream_lease_seconds=2)
    streams = [f"slack:{number}" for number in range(32)]
    async with Load(settings, streams).running() as load:
        source, target, *_ = cluster.primaries()
        moved = await asyncio.to_thread(cluster.move, source, target, 270)
        assert moved == 270
        assert cluster.primary_of("slack:17") is target, "its slot is among them"
        await load.goes_on()
    assert not load.refused
    assert load.handled.keys() >= set(load.accepted)


@pytest.mark.promise("While it is half moved, publishing to it waits")
async def test_an_event_published_to_a_half_moved_slot_waits_for_the_rest(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command on several keys of such a slot is refused: see TRYAGAIN in the cluster specification."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
    stream = "slack:half"
    source = cluster.primary_of(stream)
    target = next(server for server in cluster.primaries() if server is not source)
    async with (
        RedisMessageQueueBackend(Settings(redis_url=cluster.url)) as backend,
        backend.consume() as events,
    ):
        await backend.publish(stream, {"n": -1})
        await take_one(events)
        async with anyio.create_task_group() as tasks:
            for number, moved in enumerate(cluster.move_slot(slot_of(stream), source, target)):
                assert moved == [] or {stream, names.records(stream)} <= set(moved)
                tasks.start_soon(backend.publish, stream, {"n": number})
                await anyio.sleep(0.1)  # so that it is refused at least once
        assert {event["n"] for event in await take(events, 2)} == {0, 1}
        assert cluster.primary_of(stream) is target
