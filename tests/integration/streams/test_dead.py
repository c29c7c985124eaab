"""Dead letters: burial, redrive, purge."""

from typing import Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.streams import dead, lease, names
from tests.integration.on_streams import (
    A,
    B,
    C,
    entries,
    fill,
    hold,
    let_lapse,
    now_ms,
    recorded,
    rows,
)
from tests.servers import Server


async def test_a_letter_has_the_entry_and_what_is_known_of_it(commands: Redis) -> None:
    ids = await hold(commands, A, 2, by="me")
    await let_lapse(commands, A, ids[:1], deliveries=5, by="me")
    before = int((await commands.time())[0])
    assert await dead.bury(commands, A, "g", "me", ids[0], "because") == "done"
    ((_, letter),) = await entries(commands, names.dead_letters(A))
    at = int(letter.pop(b"abe:at"))
    assert before <= at <= before + 60
    assert letter == {
        b"data": f"{A} 0".encode(),
        b"abe:reason": b"because",
        b"abe:stream": A.encode(),
        b"abe:group": b"g",
        b"abe:id": ids[0].encode(),
        b"abe:deliveries": b"5",
        b"abe:consumer": b"me",
    }
    assert list(await rows(commands, A)) == ids[1:]
    assert await dead.bury(commands, A, "g", "other", ids[1], "not mine") == "not_held"
    assert list(await rows(commands, A)) == ids[1:]
    assert await commands.xlen(names.dead_letters(A)) == 1
    await commands.xdel(A, ids[1])
    assert await dead.bury(commands, A, "g", "me", ids[1], "nothing to bury") == "unknown"
    assert await rows(commands, A) == {}
    assert await commands.xlen(names.dead_letters(A)) == 1


@pytest.mark.parametrize(("count", "left_out"), [(3500, None), (3501, 3501)])
@pytest.mark.parametrize("with_data", [True, False])
async def test_a_letter_of_too_many_fields_keeps_what_counts(
    commands: Redis, count: int, left_out: int | None, with_data: bool
) -> None:
    await fill(commands, A, 0)
    fields: dict[Any, Any] = {f"f{number}": "x" for number in range(count - with_data)}
    if with_data:
        fields["data"] = "kept"
    await commands.xadd(A, fields)
    (entry,) = await lease.take_new(commands, "g", "me", [A], count=1, block_ms=None)
    assert await dead.bury(commands, A, "g", "me", entry.id, "why") == "done"
    ((_, letter),) = await entries(commands, names.dead_letters(A))
    own = {name: value for name, value in letter.items() if not name.startswith(b"abe:")}
    if left_out is None:
        assert (len(own), letter[b"abe:reason"]) == (count, b"why")
    else:
        assert own == ({b"data": b"kept"} if with_data else {})
        assert letter[b"abe:reason"] == f"why ({left_out - with_data} other fields were left out)".encode()


async def letters(redis: Redis, stream: str, count: int) -> list[str]:
    """Dead letters of the group, by their ids."""
    for entry_id in await hold(redis, stream, count, by="me"):
        await dead.bury(redis, stream, "g", "me", entry_id, "because")
    return [entry_id for entry_id, _ in await entries(redis, names.dead_letters(stream))]


async def test_a_letter_goes_back_for_its_group_as_it_was(commands: Redis) -> None:
    ids = await letters(commands, A, 3)
    moved = await dead.redrive(commands, A, [ids[0], "1-1", ids[1]], hard_maxlen=100)
    assert moved == ids[:2]
    assert [entry_id for entry_id, _ in await entries(commands, names.dead_letters(A))] == ids[2:]
    there = await entries(commands, A)
    for number in (0, 1):
        assert there[3 + number][1] == {
            b"data": f"{A} {number}".encode(),
            dead.ONLY: b"g",
            dead.FIRST: there[number][0].encode(),
        }
    first_id = there[0][0].encode()
    (again, _) = await lease.take_new(commands, "g", "me", [A], count=5, block_ms=None)
    assert await dead.bury(commands, A, "g", "me", again.id, "once more") == "done"
    letter = (await entries(commands, names.dead_letters(A)))[-1][1]
    assert letter[b"abe:id"] == first_id
    assert dead.FIRST not in letter
    assert dead.ONLY not in letter


async def test_a_full_stream_takes_no_letter_back(commands: Redis) -> None:
    ids = await letters(commands, A, 3)
    with pytest.raises(ResponseError, match="STREAMFULL it has 4 entries"):
        await dead.redrive(commands, A, ids, hard_maxlen=4)
    assert await commands.xlen(A) == 4
    assert await commands.xlen(names.dead_letters(A)) == 2


async def test_a_letter_that_names_no_group_is_for_all(commands: Redis) -> None:
    await fill(commands, A, 0)
    letter_id: Any = await commands.xadd(names.dead_letters(A), {"data": "x"})
    assert await dead.redrive(commands, A, [letter_id.decode()], hard_maxlen=9) == [letter_id.decode()]
    assert [fields for _, fields in await entries(commands, A)] == [{b"data": b"x", dead.FIRST: letter_id}]


async def group_of(redis: Redis, stream: str) -> Any:
    (found,) = await redis.xinfo_groups(stream)
    return found


async def test_a_group_that_left_no_record_gets_only_its_letters(commands: Redis) -> None:
    ids = await letters(commands, A, 2)
    await fill(commands, A, 3)  # which the group has not had, nor wants
    await commands.xgroup_destroy(A, "g")
    await dead.redrive(commands, A, ids, hard_maxlen=100)
    group = await group_of(commands, A)
    assert (group["lag"], group["entries-read"]) == (2, 5)
    leased = await lease.take_new(commands, "g", "me", [A], count=100, block_ms=None)
    assert [entry.fields[b"data"] for entry in leased] == [f"{A} {number}".encode() for number in (0, 1)]
    assert await recorded(commands, A, "used") is not None


async def test_a_group_whose_stream_is_gone_gets_only_its_letters(commands: Redis) -> None:
    ids = await letters(commands, A, 2)
    await commands.delete(A)
    await dead.redrive(commands, A, ids, hard_maxlen=100)
    group = await group_of(commands, A)
    assert (group["name"], group["lag"]) == (b"g", 2)
    leased = await lease.take_new(commands, "g", "me", [A], count=100, block_ms=None)
    assert len(leased) == 2


async def test_a_group_whose_stream_is_new_gets_it_from_its_beginning(commands: Redis) -> None:
    ids = await letters(commands, A, 2)
    await commands.hset(names.records(A), "floor g", "9-9 50 0")
    await commands.delete(A)
    for number in range(3):
        await commands.xadd(A, {"data": f"new {number}"})
    first = (await entries(commands, A))[0][0]
    await commands.xdel(A, first)
    await dead.redrive(commands, A, ids, hard_maxlen=100)
    group = await group_of(commands, A)
    assert (group["entries-read"], group["lag"]) == (1, 4)
    leased = await lease.take_new(commands, "g", "me", [A], count=100, block_ms=None)
    assert [entry.fields[b"data"] for entry in leased[:2]] == [b"new 1", b"new 2"]
    assert len(leased) == 4


async def test_letters_of_a_key_that_is_no_stream_stay(commands: Redis) -> None:
    ids = await letters(commands, A, 1)
    await commands.delete(A)
    await commands.set(A, "x")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await dead.redrive(commands, A, ids, hard_maxlen=9)
    assert await commands.xlen(names.dead_letters(A)) == 1


@pytest.mark.parametrize("gone", ["stream", "group"])
async def test_a_letter_stays_while_its_group_cannot_be_made(own_server: Server, gone: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        commands = (await backend.connections()).commands
        ids = await letters(commands, A, 1)
        await (commands.delete(A) if gone == "stream" else commands.xgroup_destroy(A, "g"))
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-xgroup|create")
        with pytest.raises(ResponseError, match=r"(?i)permission"):
            await dead.redrive(commands, A, ids, hard_maxlen=9)
        assert [entry_id for entry_id, _ in await entries(commands, names.dead_letters(A))] == ids


async def test_letters_are_removed_for_good(commands: Redis) -> None:
    ids = await letters(commands, A, 3)
    assert await dead.purge(commands, A, [*ids[:2], "1-1"]) == 2
    assert await commands.xlen(names.dead_letters(A)) == 1


async def test_letters_older_than_so_many_days_go(commands: Redis) -> None:
    day_ms = 86_400_000
    now = int(await now_ms(commands))
    for stream, ages in ((A, [9.0, 2.01, 1.99, 0.0]), (B, [1.0])):
        for age in ages:
            await commands.xadd(names.dead_letters(stream), {"data": "x"}, id=f"{now - int(age * day_ms)}-1")
    for number in range(250):
        await commands.xadd(names.dead_letters(C), {"data": "x"}, id=f"{number + 1}-1")
    await commands.set(names.dead_letters("{t}d"), "no stream")
    assert await dead.expire(commands, ["{t}d", A, B, C, "{t}e"], days=2) == {A: 2, C: 200}
    assert await commands.xlen(names.dead_letters(A)) == 2
    assert await dead.expire(commands, [A, B, C], days=2) == {C: 50}
    assert await dead.expire(commands, [A], days=10**6) == {}
