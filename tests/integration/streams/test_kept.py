"""Groups that are made and recorded: what was finished, and what was removed before."""

from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.streams import acks, lease, names
from abe_redis.streams.groups import Ensured, Progress, ensure_group, record_progress
from tests.integration.on_streams import A, B, C, entries, fill, hold, now_ms, recorded, rows
from tests.integration.streams.group_progress import DAY, add, group
from tests.servers import Server


@pytest.mark.promise("A new group starts at the oldest event")
async def test_a_group_is_made_at_the_beginning_of_what_there_is(commands: Redis) -> None:
    for stream in (A, B):
        for number in range(5):
            await commands.xadd(stream, {"data": str(number)})
    await commands.xtrim(A, maxlen=3, approximate=False)
    await commands.set(C, "no stream")
    await commands.hset(names.records(A), "left", "over")
    await commands.expire(names.records(A), 100)
    before = int(await now_ms(commands)) // 1000
    found = await ensure_group(commands, [A, "{t}none", C, B], "g")
    assert found == [Ensured(state, 0) for state in ("ready", "missing", "other", "ready")]
    made = await group(commands, A)
    assert (made["last-delivered-id"], made["entries-read"], made["lag"]) == (b"0-0", 2, 3)
    assert (await group(commands, B))["lag"] == 5
    assert before <= int(await recorded(commands, A, "used")) <= before + 60
    assert await commands.ttl(names.records(A)) == -1
    assert not await commands.exists("{t}none")
    assert await ensure_group(commands, [A, B], "g") == [Ensured("ready", 0)] * 2


@pytest.mark.parametrize("name", ["name", "pending", "lag", "entries-read", "0"])
async def test_a_group_may_be_called_like_what_is_said_of_it(commands: Redis, name: str) -> None:
    await fill(commands, A, 3)
    for _ in range(2):
        assert await ensure_group(commands, [A], name) == [Ensured("ready", 0)]
    await lease.take_new(commands, name, "me", [A], count=1, block_ms=None)
    assert await record_progress(commands, [A], name) == [Progress(0, 3)]


async def test_the_records_of_a_stream_that_is_gone_are_kept_for_a_week(commands: Redis) -> None:
    await commands.hset(names.records(A), "used g", "1")
    assert await ensure_group(commands, [A], "g") == [Ensured("missing", 0)]
    assert 7 * DAY - 60 < await commands.ttl(names.records(A)) <= 7 * DAY


async def test_a_group_that_was_deleted_goes_on_where_it_was(commands: Redis) -> None:
    await add(commands, A, "1-0", "2-5", "3-0", "4-0")
    await ensure_group(commands, [A], "g")
    held = await lease.take_new(commands, "g", "me", [A], count=3, block_ms=None)
    await acks.ack(commands, "g", "me", [(A, held[0].id)])
    assert await record_progress(commands, [A], "g") == [Progress(lost=0, unfinished=3)]
    assert await recorded(commands, A, "floor") == b"2-4 4 3"
    await commands.xgroup_destroy(A, "g")
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0, again=True)]
    # What it had been given may be in flight: it is pending for who has it, or for who comes after a lease.
    assert {one: row[:2] for one, row in (await rows(commands, A)).items()} == {
        "2-5": ("abe:nobody", 0),
        "3-0": ("abe:nobody", 0),
    }
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0)]
    again = await lease.take_new(commands, "g", "me", [A], count=9, block_ms=None)
    assert [entry.id for entry in again] == ["4-0"]


@pytest.mark.parametrize(
    ("ids", "taken", "acked", "floor"),
    [
        (["5-0", "6-0"], 0, 0, b"0-0 2 2"),
        (["5-0", "6-0"], 2, 2, b"6-0 2 0"),
        (["5-0", "6-0"], 2, 1, b"5-18446744073709551615 2 1"),
        (["5-7", "5-10"], 2, 1, b"5-9 2 1"),
        (["5-7", "5-10"], 1, 1, b"5-7 2 1"),
        (["5-7", "5-10"], 1, 0, b"5-6 2 2"),
    ],
)
async def test_progress_is_up_to_the_oldest_that_is_not_finished(
    commands: Redis, ids: list[str], taken: int, acked: int, floor: bytes
) -> None:
    await add(commands, A, *ids)
    await ensure_group(commands, [A], "g")
    if taken:
        await lease.take_new(commands, "g", "me", [A], count=taken, block_ms=None)
    if acked:
        await commands.xack(A, "g", *ids[:acked])
    await commands.hdel(names.records(A), "used g")
    unfinished = int(floor.split()[2])
    assert await record_progress(commands, ["{t}none", A], "g") == [Progress(0, 0), Progress(0, unfinished)]
    assert await recorded(commands, A, "floor") == floor
    assert abs(float(await recorded(commands, A, "used")) - await now_ms(commands) / 1000) < 60
    assert await record_progress(commands, [A], "another") == [Progress(0, 0)]
    assert not await commands.hexists(names.records(A), "floor another")


LEFT_OUT = Progress(lost=0, unfinished=-1)


async def looks(redis: Redis) -> int:
    """How many streams were looked at closely."""
    stats: Any = await redis.info("commandstats")
    return int(stats.get("cmdstat_xinfo|stream", {"calls": 0})["calls"])


@pytest.mark.one_server
async def test_what_one_consumer_has_recorded_the_others_do_not_record_again(commands: Redis) -> None:
    await fill(commands, A, 3)
    await fill(commands, B, 2)
    await ensure_group(commands, [A, B], "g")
    before = await looks(commands)
    # Nobody has recorded them; a group is not recorded only because it was made.
    found = await record_progress(commands, [A, B], "g", recent_seconds=3600)
    assert found == [Progress(0, 3), Progress(0, 2)]
    assert [one.is_left_out for one in found] == [False, False]
    for _ in range(9):
        assert await record_progress(commands, [A, B], "g", recent_seconds=3600) == [LEFT_OUT] * 2
    assert await looks(commands) - before == 2
    (found_again,) = await record_progress(commands, [A], "g", recent_seconds=3600)
    assert (found_again.is_left_out, found_again.length) == (True, -1), "who recorded it trims it, too"
    # Another group, a group that was made again, and whoever asks for it, are recorded.
    await commands.xgroup_create(A, "another", "0")
    assert await record_progress(commands, [A], "another", recent_seconds=3600) == [Progress(0, 3)]
    assert await record_progress(commands, [A], "g") == [Progress(0, 3)]
    await commands.xgroup_destroy(A, "g")
    await ensure_group(commands, [A], "g")
    assert await record_progress(commands, [A], "g", recent_seconds=3600) == [Progress(0, 3)]


@pytest.mark.parametrize("seconds_ago", [7200, -7200], ids=["over", "the clock was set back"])
async def test_a_record_is_recent_for_a_while(commands: Redis, seconds_ago: float) -> None:
    await fill(commands, A, 3)
    await ensure_group(commands, [A], "g")
    said = f"{await now_ms(commands) / 1000 - seconds_ago:.3f}"
    await commands.hset(names.records(A), "used g", said)
    assert await record_progress(commands, [A], "g", recent_seconds=3600) == [Progress(0, 3)]
    assert await recorded(commands, A, "floor") == b"0-0 3 3"
    await commands.hset(names.records(A), "used g", said.partition(".")[0])
    assert await record_progress(commands, [A], "g", recent_seconds=3600) == [Progress(0, 3)], "in seconds"


async def test_a_recent_record_does_for_a_stream_that_is_none_any_more(commands: Redis) -> None:
    await fill(commands, A, 1)
    await record_progress(commands, [A], "g")
    await commands.delete(A)
    (found,) = await record_progress(commands, [A], "g", recent_seconds=3600)
    assert found.is_left_out
    await commands.set(A, "no stream")
    (found,) = await record_progress(commands, [A], "g", recent_seconds=3600)
    assert found.is_left_out
    assert await record_progress(commands, [A], "g") == [Progress(0, 0)]


async def test_unfinished_entries_of_a_deleted_stream_are_lost_once(commands: Redis) -> None:
    for stream, count in ((A, 5), (B, 2), (C, 3)):
        await fill(commands, stream, 3)
        await ensure_group(commands, [stream], "g")
        await record_progress(commands, [stream], "g")
        await anyio.sleep(0.01)  # what is added in the record's millisecond may have been there at the record
        await commands.delete(stream)
        if stream != A:
            await commands.xadd(stream, {"data": "new"})
        for _ in range(count - 1 if stream == C else 0):
            await commands.xadd(stream, {"data": "new"})
    # As far as Redis can tell, the third is the stream it was: it has had as many entries.
    assert await ensure_group(commands, [A, B], "g") == [Ensured("missing", 3), Ensured("ready", 3)]
    assert (await ensure_group(commands, [C], "g"))[0].state == "ready"
    assert (await recorded(commands, A, "lost"), await recorded(commands, B, "lost")) == (b"3", b"3")
    assert await recorded(commands, C, "lost") is None
    assert await recorded(commands, A, "floor") is None
    assert await ensure_group(commands, [A, B], "g") == [Ensured("missing", 0), Ensured("ready", 0)]
    assert (await group(commands, B))["lag"] == 1


async def test_nothing_is_lost_with_a_stream_that_was_finished(commands: Redis) -> None:
    await hold(commands, A, 2)
    await commands.xack(A, "g", *[entry_id for entry_id, _ in await entries(commands, A)])
    await record_progress(commands, [A], "g")
    await commands.delete(A)
    assert await ensure_group(commands, [A], "g") == [Ensured("missing", 0)]
    assert await recorded(commands, A, "lost") is None


@pytest.mark.parametrize("how", ["ensure", "record"])
@pytest.mark.parametrize("removed", [0, 1, 4, 6])
async def test_entries_removed_unread_are_reported_once(commands: Redis, how: str, removed: int) -> None:
    await fill(commands, A, 8)
    await lease.take_new(commands, "g", "me", [A], count=2, block_ms=None)
    await commands.xtrim(A, maxlen=6 - removed, approximate=False)

    async def lost() -> int:
        if how == "ensure":
            (found,) = await ensure_group(commands, [A], "g")
            return found.lost
        (progress,) = await record_progress(commands, [A], "g")
        assert progress.unfinished == 2 + 6 - removed
        return progress.lost

    assert await lost() == removed
    assert await lost() == 0
    assert await recorded(commands, A, "lost") == (str(removed).encode() if removed else None)
    assert (await group(commands, A))["lag"] == 6 - removed


async def test_entries_before_the_last_read_one_hide_no_loss(commands: Redis) -> None:
    ids = await hold(commands, A, 3)
    await fill(commands, A, 2)
    await commands.xdel(A, ids[0])
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0)]


async def test_entries_removed_among_others_are_counted_once(commands: Redis) -> None:
    await hold(commands, A, 1)
    ids = await fill(commands, A, 5)
    await commands.xdel(A, *ids[1:4])
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 3)]
    assert (await group(commands, A))["lag"] is None
    assert await record_progress(commands, [A], "g") == [Progress(lost=0, unfinished=3)]
    await commands.xdel(A, ids[0])
    assert await record_progress(commands, [A], "g") == [Progress(lost=1, unfinished=2)]


async def test_a_number_that_cannot_be_known_is_not_guessed(commands: Redis) -> None:
    """Of a group that somebody set to another place, Redis does not know how much it was given."""
    held = await hold(commands, A, 2)
    ids = await fill(commands, A, 5)
    await commands.xgroup_setid(A, "g", held[0])
    await commands.xdel(A, *ids[1:4])
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0)]
    assert await record_progress(commands, [A], "g") == [Progress(lost=0, unfinished=2)]


async def test_how_much_lies_before_a_group_is_found_out(commands: Redis) -> None:
    ids = await fill(commands, A, 5, group="another")
    await commands.xgroup_destroy(A, "another")
    await commands.xgroup_create(A, "g", ids[0])
    await commands.xtrim(A, maxlen=3, approximate=False)
    assert (await group(commands, A))["entries-read"] is None
    assert await ensure_group(commands, [A], "g") == [Ensured("ready", 0)]
    assert ((await group(commands, A))["entries-read"], (await group(commands, A))["lag"]) == (2, 3)


async def test_the_only_entry_of_a_deleted_stream_is_lost_too(commands: Redis) -> None:
    await fill(commands, A, 1)
    await record_progress(commands, [A], "g")
    await commands.delete(A)
    assert await ensure_group(commands, [A], "g") == [Ensured("missing", 1)]


async def test_a_group_that_may_not_be_made_is_told(own_server: Server) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=own_server.url)) as backend:
        commands = (await backend.connections()).commands
        await commands.xadd(A, {"data": "x"})
        with own_server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "-xgroup|create")
        with pytest.raises(ResponseError, match=r"(?i)permission|can't run this command"):
            await ensure_group(commands, [A], "g")
        assert await recorded(commands, A, "used") is None


@pytest.mark.parametrize("state", ["paused", "ready"])
async def test_a_paused_group_is_said_to_be(commands: Redis, state: str) -> None:
    await fill(commands, A, 1)
    await commands.hset(names.records(A), "paused other", "1")
    if state == "paused":
        await commands.hset(names.records(A), "paused g", "1")
    assert await ensure_group(commands, [A, B], "g") == [Ensured(state, 0), Ensured("missing", 0)]  # type: ignore[arg-type]
