"""What Redis does not take for one stream waits in the outbox, and holds up no other stream."""

import asyncio
import json
from contextlib import closing
from pathlib import Path

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.events.published import Published
from abe_redis.publishing.outbox_file import OutboxFile
from tests.integration.conftest import until
from tests.integration.partial_cluster import cluster
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    entries,
    make_queue,
    path,
    patient,
)
from tests.patience import PATIENCE
from tests.servers import Server
from tests.topologies import Cluster

__all__ = ["_impatient", "cluster", "make_queue", "path"]

STREAMS = [f"slack:{number}" for number in range(12)]


async def publish(queue: RedisMessageQueueBackend, stream: str, number: int) -> Published:
    payload = {"type": "event_callback", "event_id": f"Ev{number}", "n": number}
    return await queue.publish_event(stream, payload)


def in_stream(cluster: Cluster, stream: str) -> list[int]:
    with cluster.client() as client:
        return [json.loads(fields["data"])["n"] for _, fields in client.xrange(stream)]


@pytest.mark.promise("What waits for one stream holds up no other one")
@pytest.mark.promise("What is published to a stream of such a node fails, or waits in the outbox")
async def test_a_node_that_is_away_keeps_no_event_of_other_nodes_in_the_outbox(
    cluster: Cluster, path: Path
) -> None:
    victim = cluster.primary_of(STREAMS[0])
    lost = [one for one in STREAMS if cluster.primary_of(one) is victim]
    left = [one for one in STREAMS if one not in lost]
    settings = Settings(redis_url=cluster.url, redis_outbox=path)
    async with RedisMessageQueueBackend(settings) as queue:
        with patient():
            for stream in STREAMS:
                assert not (await publish(queue, stream, 0)).is_kept
        victim.kill()
        for number in range(1, 6):
            for stream in lost:
                assert (await publish(queue, stream, number * 100 + STREAMS.index(stream))).is_kept
            with patient():
                for stream in left:
                    assert not (await publish(queue, stream, number * 100 + STREAMS.index(stream))).is_kept
        cluster.revive()
        await asyncio.to_thread(cluster.wait_settled)
        for number in range(6, 9):  # some may still wait in the outbox: these come behind them
            for stream in STREAMS:
                await publish(queue, stream, number * 100 + STREAMS.index(stream))

        async def is_empty() -> bool:
            with closing(OutboxFile(path)) as file:
                return file.size().waiting == 0

        await until(is_empty, seconds=PATIENCE)
        for stream in STREAMS:
            expected = [0, *(number * 100 + STREAMS.index(stream) for number in range(1, 9))]
            assert in_stream(cluster, stream) == expected


@pytest.mark.promise("What waits for one stream holds up no other one")
async def test_what_waits_for_other_nodes_leaves_the_outbox_of_a_dead_process(
    cluster: Cluster, path: Path
) -> None:
    """All nodes were away when it died; one still is when the next process begins."""
    victim = cluster.primary_of(STREAMS[0])
    lost = [one for one in STREAMS if cluster.primary_of(one) is victim]
    left = [one for one in STREAMS if one not in lost]
    settings = Settings(redis_url=cluster.url, redis_outbox=path)
    for server in cluster.servers:
        server.kill()
    async with RedisMessageQueueBackend(settings) as queue:
        for number in range(1, 40):  # more than one read takes
            for stream in STREAMS:
                assert (await publish(queue, stream, number * 100 + STREAMS.index(stream))).is_kept
    for server in cluster.servers:
        if server is not victim:
            server.start()
    async with RedisMessageQueueBackend(settings) as queue:
        await queue.connections()
        expected = {one: [n * 100 + STREAMS.index(one) for n in range(1, 40)] for one in STREAMS}

        async def others_have_come() -> bool:
            return all(in_stream(cluster, one) == expected[one] for one in left)

        await until(others_have_come, seconds=PATIENCE)
        cluster.revive()
        await asyncio.to_thread(cluster.wait_settled)

        async def all_have_come() -> bool:
            return all(in_stream(cluster, one) == expected[one] for one in STREAMS)

        await until(all_have_come, seconds=PATIENCE)


@pytest.mark.promise("What waits for one stream holds up no other one")
async def test_a_full_stream_keeps_no_event_of_another_stream_in_the_outbox(
    own_server: Server, make_queue: MakeQueue
) -> None:
    queue = make_queue(redis_stream_maxlen=2, redis_stream_hard_maxlen=3)
    await publish(queue, "slack:first", 99)  # from now on, an answer is waited for no longer than that
    with patient():
        assert not any([(await publish(queue, "slack:full", number)).is_kept for number in range(3)])
    assert all([(await publish(queue, "slack:full", number)).is_kept for number in range(3, 6)])
    with patient():
        assert not (await publish(queue, "slack:other", 100)).is_kept
    own_server.freeze()
    assert (await publish(queue, "slack:other", 101)).is_kept
    own_server.thaw()

    async def other_is_empty() -> bool:
        return (await queue.outbox_size()).waiting == 3

    await until(other_is_empty)
    with own_server.admin() as admin:
        admin.xtrim("slack:full", maxlen=0)
    await until(lambda: emptied(queue))
    assert [json.loads(one["data"])["n"] for one in entries(own_server, "slack:full")] == [3, 4, 5]
