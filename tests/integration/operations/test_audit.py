"""What agents have changed."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.operations import audit
from abe_redis.operations.scope import Scope
from abe_redis.streams import audit as audits
from abe_redis.streams import names
from tests.integration.conftest import MakeBackend, take_one, until
from tests.integration.on_streams import now_ms


@pytest.mark.promise("`abe-redis audit` shows it.")
async def test_the_audit_lists_changes_newest_first(commands: Redis) -> None:
    for number in range(3):
        await audits.record(commands, "agent", "acked", {"id": f"{number}-0", "text": "ü"}, "mcp")
    changes = await audit.last(commands, 2)
    assert [(one.who, one.what, one.facts) for one in changes] == [
        ("agent", "acked", {"id": f"{number}-0", "text": "ü"}) for number in (2, 1)
    ]
    assert abs(changes[0].at.timestamp() * 1000 - await now_ms(commands)) < 60_000


async def test_the_audit_is_narrowed_by_time_person_and_stream(
    make_backend: MakeBackend, commands: Redis
) -> None:
    at, day = int(await now_ms(commands)), 86_400_000
    for number in range(450):
        who, stream = ("mcp-bot" if number % 2 else "ann@desk"), f"slack:{number % 3}"
        fields = {
            "who": who,
            "from": "cli",
            "what": "ack",
            "facts": json.dumps({"stream": stream, "n": number}),
        }
        await commands.xadd(names.AUDIT, fields, id=f"{at - day + number}-0")  # type: ignore[arg-type]
    await commands.xadd(names.AUDIT, {"who": "ann@desk", "what": "ack"}, id=f"{at}-0")
    scope = Scope(make_backend())

    async def found(**asked: Any) -> list[Any]:
        changes = (await audit.changes(scope, **{"count": 1000} | asked)).changes
        return [one.facts.get("n") for one in changes]

    assert len(await found()) == 451
    assert await found(since="1h") == [None]
    assert await found(who="mcp-", count=2) == [449, 447]
    assert await found(who="mcp-", stream="slack:0") == list(range(447, 0, -6))
    assert await found(stream="slack:9") == []


async def test_foreign_audit_entries_are_shown_as_far_as_they_can_be_read(commands: Redis) -> None:
    said = {
        b'{"ids": ["1-0"], "count": 2}': {"ids": ["1-0"], "count": 2},
        b'{"ids": [["1-0"]]}': {},
        b'["1-0"]': {},
        b"not JSON": {},
        b"\xff": {},
    }
    for facts in said:
        await commands.xadd(names.AUDIT, {"who": b"\xff", "facts": facts})
    found = await audit.last(commands, 9)
    assert [one.facts for one in found] == list(said.values())[::-1]
    assert {(one.who, one.what) for one in found} == {("\ufffd", "")}


async def test_only_the_last_ten_thousand_changes_are_kept(commands: Redis) -> None:
    many = "for i = 1, 10500 do redis.call('XADD', KEYS[1], '*', 'who', i) end"
    await commands.eval(many, 1, names.AUDIT)
    await audits.record(commands, "agent", "acked", {}, "mcp")
    assert 10_000 <= await commands.xlen(names.AUDIT) < 10_200, "a node of a stream has a hundred entries"


@pytest.mark.one_server
@pytest.mark.parametrize("ordered", [False, True])
async def test_a_group_that_was_destroyed_under_its_workers_and_restored_is_in_the_audit_once(
    make_backend: MakeBackend, redis: Redis, ordered: bool
) -> None:
    backends = [make_backend(redis_stream_lease_seconds=1) for _ in range(2)]
    handled = list[int]()

    async def handle(event: Event) -> None:
        handled.append(event["n"])

    async def those(count: int) -> bool:
        return len(set(handled)) == count

    async def is_recorded() -> bool:
        records: Any = await redis.hget("abe:groups:{slack_events}", "floor default")
        return records is not None and not records.startswith(b"0-0 ")

    await backends[0].publish("slack_events", {"n": 0})
    workers = [EventWorker(one, handle, ordered=ordered) for one in backends]
    async with anyio.create_task_group() as tasks:
        for worker in workers:
            tasks.start_soon(worker.run)
        await until(lambda: those(1))
        await until(is_recorded)
        await redis.xgroup_destroy("slack_events", "default")
        await backends[0].publish("slack_events", {"n": 1})
        await until(lambda: those(2))
        found = await until(lambda: audit.last(redis, 10))
        (one,) = found

        async def is_there() -> bool:
            consumers: Any = await redis.xinfo_consumers("slack_events", "default")
            return one.who in {row["name"].decode() for row in consumers}

        await until(is_there)
        for worker in workers:
            await worker.shutdown()
    assert (one.origin, one.what) == ("consumer", "group restored")
    assert (one.facts["stream"], one.facts["group"]) == ("slack_events", "default")


@pytest.mark.one_server
async def test_a_new_group_is_not_told_as_a_restored_one(make_backend: MakeBackend, redis: Redis) -> None:
    backend = make_backend()
    await backend.publish("slack_events", {"n": 0})
    async with backend.consume() as events:
        await take_one(events)
    assert await audit.last(redis, 10) == []
