"""A cluster of which one node is away, without another in its place: what is on the others goes on."""

import asyncio
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

from abe_redis import Event, EventStream, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.doctor import examine
from abe_redis.operations import audit
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.groups import Groups
from abe_redis.operations.operations import Operations
from abe_redis.operations.scope import Scope
from abe_redis.streams import names
from tests.integration.conftest import until
from tests.integration.partial_cluster import cluster
from tests.patience import PATIENCE
from tests.servers import Server
from tests.topologies import Cluster

__all__ = ["cluster"]

_GONE = re.compile("of the cluster is away")
_BACK = re.compile(r"reads 'slack:.* again\.")
STREAMS = [f"slack:{number}" for number in range(12)]


def refuse(server: Server) -> None:
    """Let a node answer, and take no write."""
    with server.admin() as admin:
        admin.config_set("min-replicas-to-write", 1)


class Queue:
    """Streams on all nodes, and a consumer that handles them."""

    def __init__(self, cluster: Cluster, backend: RedisMessageQueueBackend) -> None:
        self.backend = backend
        self.handled = Counter[str]()
        self.apart = set[str]()
        """Events of streams on other nodes than the one that goes away."""
        self._cluster = cluster
        self._victim = cluster.primary_of(STREAMS[0])
        self._number = 0
        self.lost = [one for one in STREAMS if cluster.primary_of(one) is self._victim]
        self.left = [one for one in STREAMS if one not in self.lost]

    @property
    def victim(self) -> Server:
        return self._victim

    async def publish(self, streams: list[str]) -> list[str]:
        """One event to each."""
        published = []
        for stream in streams:
            self._number += 1
            payload = {"type": "event_callback", "event_id": f"Ev{self._number}"}
            await self.backend.publish(stream, payload)
            published.append(payload["event_id"])
            if stream in self.left:
                self.apart.add(payload["event_id"])
        return published

    async def goes_on(self, streams: list[str], *, times: int = 3) -> None:
        """Publish to them, and wait until it is handled."""
        for _ in range(times):
            published = await self.publish(streams)
            await self.are_handled(published)

    async def are_handled(self, published: list[str]) -> None:
        async def all_are() -> bool:
            return set(published) <= self.handled.keys()

        await until(all_are, seconds=PATIENCE)

    async def handle(self, events: EventStream) -> None:
        async for event in events:
            await anyio.lowlevel.checkpoint()
            self.handled[event["event_id"]] += 1

    async def revive(self) -> None:
        self._cluster.revive()
        with self.victim.admin() as admin:
            admin.config_set("min-replicas-to-write", 0)
        await asyncio.to_thread(self._cluster.wait_settled)


@asynccontextmanager
async def running(cluster: Cluster, *, ordered: bool) -> AsyncIterator[Queue]:
    settings = Settings(redis_url=cluster.url, redis_stream_lease_seconds=3)
    async with RedisMessageQueueBackend(settings) as backend, anyio.create_task_group() as tasks:
        queue = Queue(cluster, backend)
        for _ in range(2):
            tasks.start_soon(queue.handle, backend.consume_ordered() if ordered else backend.consume())
        yield queue
        tasks.cancel_scope.cancel()


@pytest.mark.promise("stops its own streams only")
@pytest.mark.promise("Consumers and workers, ordered ones too, read and finish")
@pytest.mark.promise("The log says once which streams wait and for which node")
@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
@pytest.mark.parametrize("how", [Server.kill, Server.freeze, refuse], ids=["kill", "freeze", "refuse"])
async def test_a_node_that_is_away_stops_only_its_own_streams(
    cluster: Cluster,
    how: Callable[[Server], None],
    ordered: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running(cluster, ordered=ordered) as queue:
        await queue.goes_on(STREAMS)
        before = [await queue.publish(STREAMS) for _ in range(5)]  # so that some are in flight
        how(queue.victim)
        await queue.goes_on(queue.left, times=20)
        its_own = f"node 127.0.0.1:{queue.victim.port} of the cluster is away"

        async def both_know() -> bool:
            return sum(its_own in record.getMessage() for record in caplog.records) >= 2

        await until(both_know, seconds=PATIENCE)
        await queue.goes_on(queue.left, times=20)
        assert sum(its_own in record.getMessage() for record in caplog.records) == 2, "each says so once"
        await queue.revive()
        await queue.goes_on(STREAMS)
        await queue.are_handled([one for some in before for one in some])

        async def all_are_back() -> bool:
            said = [record.getMessage() for record in caplog.records]
            return sum(map(bool, map(_BACK.search, said))) == sum(map(bool, map(_GONE.search, said)))

        await until(all_are_back, seconds=PATIENCE)
        assert {queue.handled[one] for one in queue.apart} == {1}, "what is elsewhere is handled once"
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    others = [one for one in said if not (_GONE.search(one) or _BACK.search(one) or "does not own" in one)]
    # A turn may fail before anybody knows of the node; that is said once, too, and so is the next turn.
    early = "Trying again until it works.", "reads again"
    for words in early:
        assert sum(words in one for one in others) <= 2, "by each consumer"
    passing = *early, "Redis could not be told", "goes on without."
    assert [one for one in others if not any(words in one for words in passing)] == []
    assert not any(repr(stream) in one for one in others for stream in queue.left)


@pytest.mark.promise("show the streams of the other nodes, and name the node that is away")
@pytest.mark.parametrize("number", range(3))
async def test_what_answers_is_shown_and_the_node_that_does_not_is_named(
    cluster: Cluster, number: int
) -> None:
    victim = cluster.servers[number]
    lost = [one for one in STREAMS if cluster.primary_of(one) is victim]
    settings = Settings(redis_url=cluster.url)
    async with RedisMessageQueueBackend(settings) as backend:
        for stream in STREAMS:
            await backend.publish(stream, {"n": 1})
    victim.kill()
    async with RedisMessageQueueBackend(settings) as backend:
        seen = await Operations(backend).stream_stats()
    assert [one.stream for one in seen.streams] == sorted(set(STREAMS) - set(lost))
    (named,) = (one for one in seen.problems if "not shown" in one)
    assert f"node 127.0.0.1:{victim.port} of the cluster" in named
    findings = await examine(settings)
    assert any(
        one.check == "reachability" and f"Node 127.0.0.1:{victim.port}" in one.found for one in findings
    )
    examined = {stream for stream in STREAMS for one in findings if repr(stream) in one.found}
    assert examined == set(STREAMS) - set(lost)


async def is_buried(backend: RedisMessageQueueBackend, stream: str) -> bool:
    commands = (await backend.connections()).commands
    return bool(await commands.xlen(names.dead_letters(stream)) == 1)


_INDEX, _AUDIT = "abe:streams", "abe:audit"


@pytest.mark.promise("A group is paused, resumed and made in other streams")
@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
async def test_groups_are_changed_though_the_node_of_the_index_is_away(
    cluster: Cluster, caplog: pytest.LogCaptureFixture, *, ordered: bool
) -> None:
    caplog.set_level(logging.INFO)
    handled, failed = list[int](), list[str]()

    async def handle(event: Event) -> None:
        if event["n"] == 0 and not failed:
            failed.append(event.id)
            raise ValueError("no")
        handled.append(event["n"])

    async def has(number: int) -> None:
        async def is_handled() -> bool:
            return number in handled

        await until(is_handled, seconds=PATIENCE)

    victim = cluster.primary_of(_INDEX)
    stream, other = [one for one in STREAMS if cluster.primary_of(one) is not victim][:2]
    assert cluster.primary_of(_AUDIT) is not victim
    settings = Settings(redis_url=cluster.url, redis_stream_max_deliveries=1)
    async with RedisMessageQueueBackend(settings) as backend, anyio.create_task_group() as tasks:
        scope = Scope(backend, origin="cli")
        groups, letters = Groups(scope), DeadLetters(scope)
        for number in range(2):
            await backend.publish(stream, {"n": number})
        worker = EventWorker(backend, handle, ordered=ordered)
        tasks.start_soon(worker.run)
        await has(1)
        await until(lambda: is_buried(backend, stream), seconds=PATIENCE)
        victim.kill()
        assert (await groups.pause(stream, "default")).done == "paused"

        async def stands_still() -> bool:
            return "is paused" in caplog.text and (not ordered or f"releases {stream!r}" in caplog.text)

        await until(stands_still, seconds=PATIENCE)
        await backend.publish(stream, {"n": 2})
        assert (await letters.redrive(stream, Choice(everything=True))).redriven == 1
        assert (await groups.create(other, "more", create_stream=True)).done == "created"
        await anyio.sleep(2)
        assert handled == [1]
        assert (await groups.resume(stream, "default")).done == "resumed"
        await has(2)
        await has(0)
        done = [one.what for one in (await audit.changes(scope, count=4)).changes]
        assert done == ["group resume", "group create", "redrive", "group pause"]
        await worker.shutdown()
