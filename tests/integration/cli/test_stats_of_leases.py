"""`stats` about leases that are no worker's, or over; and how its tables add up."""

import json
import re
import shlex
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from tests.integration.cli.command_runs import answer, at, run
from tests.integration.conftest import MakeBackend, take_one

__all__ = ["at"]

TOPIC = "slack_events"
pytestmark = pytest.mark.usefixtures("at")


async def leased_by(
    consumer: str, backend: RedisMessageQueueBackend, redis: Redis, *, events: int = 1
) -> str:
    """Events that somebody leased at the command line, with a lease that is over."""
    await backend.publish_many(TOPIC, [{"n": number} for number in range(events)])
    found = answer("read", TOPIC, "--group", "bot", "--consumer", consumer)["events"]
    ids = [one["id"] for one in found]
    await redis.xclaim(TOPIC, "bot", consumer, 0, ids, idle=3_600_000, justid=True)
    return str(ids[0])


def of_group() -> Any:
    (stream,) = answer("stats", TOPIC)["streams"]
    (group,) = stream["groups"]
    return group


def words(*arguments: str) -> str:
    return " ".join(run(*arguments, COLUMNS="250").stdout.split())


async def test_a_lease_by_hand_is_no_frozen_process(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    entry_id = await leased_by("ann's", backend, redis)
    said = words("stats", TOPIC)
    assert "somebody leased that at the command line, and the lease is over." in said
    assert "frozen" not in said
    assert "no worker is alive" in said, "she is none"
    (one,) = of_group()["consumers"]
    assert (one["kind"], one["holds"], one["lease_over"], one["free"]) == ("person", entry_id, True, 1)
    assert f"{entry_id} │ lease over │" in said
    assert "0 of 1 person" not in words("group", "list")
    (ack,) = re.findall(r"Finish it with `abe-redis (.*?)`,", said)
    assert run(*shlex.split(ack)).stdout.startswith("1 acknowledged.")


async def test_several_leases_by_hand_are_finished_by_their_ids(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    entry_id = await leased_by("cli-me@here", backend, redis, events=2)
    said = words("stats", TOPIC)
    look, ack = re.findall(r"`abe-redis ((?:read|ack) .*?)`", said)[::-1]
    assert entry_id in run(*shlex.split(look)).stdout
    assert run(*shlex.split(ack.replace("ID", entry_id))).stdout == "1 acknowledged.\n"


async def test_a_worker_that_takes_the_name_is_one(
    backend: RedisMessageQueueBackend, make_backend: MakeBackend, redis: Redis
) -> None:
    entry_id = await leased_by("ann", backend, redis)
    assert run("ack", TOPIC, entry_id, "--group", "bot", "--consumer", "ann").returncode == 0
    async with make_backend(redis_stream_consumer="ann").consume(group="bot") as events:
        await backend.publish(TOPIC, {"n": 2})
        await take_one(events)

        def kinds() -> list[str]:
            return [one["kind"] for one in of_group()["consumers"]]

        assert kinds() == ["worker"]


async def test_the_consumers_pending_add_up_to_their_groups(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    await leased_by("ann", backend, redis, events=3)
    first, second, _ = (one["id"] for one in answer("read", TOPIC, "--group", "bot", "--pending")["events"])
    by = ("--group", "bot", "--consumer", "ann")
    assert run("release", TOPIC, first, *by).returncode == 0
    assert run("release", TOPIC, second, *by, "--delay", "1h").returncode == 0
    table = words("stats", TOPIC)
    assert "│ 3 (1 postponed) │" in table
    cells = [
        [cell.strip() for cell in row.split("│")[1:]]
        for row in run("stats", TOPIC, COLUMNS="250").stdout.splitlines()
    ]
    rows = {row[0]: row[5] for row in cells if row and row[0] in {"ann", "(nobody)"}}
    assert rows == {"ann": "1", "(nobody)": "2 (1 postponed)"}
    narrow = run("stats", TOPIC, COLUMNS="70").stdout.splitlines()
    assert f"(nobody) of bot on {TOPIC}: pending 2 (1 postponed)" in narrow


async def test_the_advice_about_a_partition_names_the_group_of_its_topic(
    make_backend: MakeBackend,
) -> None:
    parted = make_backend(redis_stream_partitions=4)
    await parted.publish("slack_events:p1", {"n": 1})
    assert "worker MODULE:HANDLER --group GROUP`." in words("stats", "slack_events:p1")
    await parted.publish(TOPIC, {"n": 1})
    assert run("group", "create", TOPIC, "bot", "--create-stream").returncode == 0
    for command in (("stats",), ("stats", "slack_events:p1"), ("stats", TOPIC), ("doctor",)):
        said = words(*command)
        assert "`abe-redis worker MODULE:HANDLER --group bot` (the group of its topic)" in said, command
    assert run("group", "create", TOPIC, "audit").returncode == 0
    said = words("stats", "slack_events:p1")
    assert "--group GROUP` (its topic has the groups 'audit', 'bot')." in said
    assert "topic_groups" not in json.dumps(answer("stats"))
