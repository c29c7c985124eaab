"""No call holds the server for long: many streams, groups and pending entries are dealt with in steps."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import (
    clock_steps,
    consumers,
    dead,
    find_streams,
    groups,
    names,
    owners,
    release,
    slots,
    trim,
)
from abe_redis.streams.find_streams import Search, announced, existing
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import announce
from abe_redis.streams.reclaim import FIRST, NOTHING_PENDING, reclaim
from tests.integration.on_streams import LONG_MS, A, entries, fill, let_lapse, now_ms, recorded

MANY = 600
OWNER = owners.Owner.make("g", "me", 30)


class Calls:
    """The scripts that a client runs: of each call, how many keys it names."""

    def __init__(self, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[int] = []
        send = redis.execute_command

        async def execute_command(*words: Any, **options: Any) -> Any:
            answer = await send(*words, **options)
            if words[0] in {"EVALSHA", "EVAL"}:
                self.keys.append(words[2] if words[3] != "abe:streams" else len(words) - 4)
            return answer

        monkeypatch.setattr(redis, "execute_command", execute_command)


@pytest.fixture
def calls(commands: Redis, monkeypatch: pytest.MonkeyPatch) -> Calls:
    return Calls(commands, monkeypatch)


async def many_streams(redis: Redis, *, count: int = MANY) -> list[str]:
    streams = [f"{{t}}{number}" for number in range(count)]
    pipeline = redis.pipeline(transaction=False)
    for name in streams:
        pipeline.xgroup_create(name, "g", "0", mkstream=True)
        pipeline.xadd(name, {"data": "{}"})
    await pipeline.execute()
    return streams


_PEND = """
redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM')
for number = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], number .. '-1', 'data', '{}') end
redis.call('XREADGROUP', 'GROUP', 'g', 'holder', 'STREAMS', KEYS[1], '>')
"""


async def pend(redis: Any, count: int) -> list[str]:
    """Many entries that a consumer holds."""
    await redis.eval(_PEND, 1, A, count)
    return [f"{number}-1" for number in range(1, count + 1)]


@pytest.mark.parametrize(
    ("call", "keys"),
    [
        (lambda redis, streams: groups.ensure_group(redis, streams, "g"), 2),
        (lambda redis, streams: groups.record_progress(redis, streams, "g"), 2),
        (lambda redis, streams: trim.trim(redis, streams, 1000, idle_days=7), 2),
        (lambda redis, streams: trim.trim(redis, streams, 0, idle_days=7), 2),
        (lambda redis, streams: clock_steps.mend(redis, "g", streams, lease_seconds=30), 3),
        (lambda redis, streams: reclaim(redis, "g", "me", streams, lease_seconds=30, count=1), 5),
        (lambda redis, streams: consumers.forget_gone(redis, "g", streams, idle_seconds=9), 4),
        (lambda redis, streams: consumers.withdraw(redis, "g", "me", streams), 3),
        (lambda redis, streams: consumers.note_alive(redis, "g", "me", streams, lease_seconds=30), 3),
        (lambda redis, streams: release.release(redis, "g", "me", streams, {}, everything=True), 3),
        (lambda redis, streams: dead.expire(redis, streams, days=1), 1),
        (lambda redis, streams: owners.owners(redis, OWNER.group, streams), 1),
        (lambda redis, streams: owners.own(redis, OWNER, streams), 1),
        (lambda redis, streams: owners.disown(redis, OWNER, streams), 1),
        (announce, 1),
    ],
)
async def test_one_call_names_few_streams_however_many_there_are(
    commands: Redis, calls: Calls, call: Callable[[Redis, list[str]], Awaitable[Any]], keys: int
) -> None:
    streams = await many_streams(commands)
    await call(commands, streams)
    assert max(calls.keys) <= slots.MANY_STREAMS * keys
    assert sum(calls.keys) >= MANY * keys, "every stream had its turn"


async def test_one_call_looks_at_few_groups_however_many_streams_have_some(
    commands: Redis, calls: Calls
) -> None:
    streams = await many_streams(commands, count=20)
    pipeline = commands.pipeline(transaction=False)
    for stream in streams:
        for number in range(99):
            pipeline.xgroup_create(stream, f"g{number}", "0")
    await pipeline.execute()
    for answers in (
        await groups.ensure_group(commands, streams, "g"),
        await groups.record_progress(commands, streams, "g"),
    ):
        assert len(answers) == 20
    assert len(calls.keys) >= 8, "300 groups at a time, of 2000, each twice"
    for stream in streams:
        assert (await recorded(commands, stream, "floor")).endswith(b" 1 1")


async def test_one_call_removes_from_few_streams_however_many_are_too_long(
    commands: Redis, calls: Calls
) -> None:
    streams = await many_streams(commands, count=12)
    pipeline = commands.pipeline(transaction=False)
    for stream in streams:
        for _ in range(120):
            pipeline.xadd(stream, {"data": "{}"})
        pipeline.xgroup_setid(stream, "g", "$")
    await pipeline.execute()
    answers = await trim.trim(commands, streams, 1, idle_days=7)
    assert [one.removed for one in answers] == [trim.STEP] * 12
    assert len(calls.keys) >= 4, "each step removes a hundred"


async def test_what_is_abandoned_among_very_many_is_found_page_by_page(commands: Redis, calls: Calls) -> None:
    ids = await pend(commands, 12_000)
    await let_lapse(commands, A, [ids[7_500], ids[11_900]], deliveries=1)
    begun = len(calls.keys)
    places: dict[str, str] = {}

    async def taken() -> list[str]:
        leased, _ = await reclaim(
            *(commands, "g", "me", [A]), lease_seconds=LONG_MS / 2000, count=1, places=places
        )
        return [one.id for one in leased]

    assert await taken() == [ids[7_500]]
    assert len(calls.keys) == begun + 8, "a thousand at a time"
    assert await taken() == [ids[11_900]], "it goes on where it was"
    assert len(calls.keys) == begun + 12
    assert await taken() == []
    assert places == {A: FIRST}


async def test_a_reclaim_looks_at_a_limited_number_of_pages(commands: Redis, calls: Calls) -> None:
    await pend(commands, 25_000)
    places: dict[str, str] = {}
    begun = len(calls.keys)
    for expected in (21, 26):
        found = await reclaim(commands, "g", "me", [A], lease_seconds=3600, count=1, places=places)
        assert found == ([], {})
        assert len(calls.keys) == begun + expected
    assert places == {A: FIRST}


async def test_what_is_postponed_among_very_many_is_left_alone(commands: Redis) -> None:
    ids = await pend(commands, 10_001)
    await let_lapse(commands, A, ids[:3], deliveries=1)
    await release.postpone(commands, A, "g", "holder", ids[0], delay_seconds=60)
    await let_lapse(commands, A, ids[:1], deliveries=1)
    for expected in (ids[1], ids[2]):
        leased, _ = await reclaim(commands, "g", "me", [A], lease_seconds=LONG_MS / 2000, count=1)
        assert [one.id for one in leased] == [expected]
    assert await reclaim(commands, "g", "me", [A], lease_seconds=LONG_MS / 2000, count=1) == ([], {})


async def test_what_is_postponed_does_not_count_among_very_many(commands: Redis, calls: Calls) -> None:
    """One call finds what is behind it; it is put aside some hundred at a time, and once."""
    ids = await pend(commands, 12_000)
    redis: Any = commands
    await redis.eval(_PUT_OFF, 2, A, names.due(A, "g"), 11_999, int(await now_ms(commands)) + 600_000)
    await let_lapse(commands, A, ids[-1:], deliveries=1)
    places: dict[str, str] = {}
    begun, found = len(calls.keys), list[str]()
    while not found:
        leased, _ = await reclaim(
            commands, "g", "me", [A], lease_seconds=LONG_MS / 2000, count=1, places=places
        )
        found = [one.id for one in leased]
    assert found == ids[-1:]
    assert 60 <= len(calls.keys) - begun <= 62
    await let_lapse(commands, A, ids[-1:], deliveries=1)
    begun = len(calls.keys)
    leased, _ = await reclaim(commands, "g", "me", [A], lease_seconds=LONG_MS / 2000, count=1, places=places)
    assert [one.id for one in leased] == ids[-1:]
    assert len(calls.keys) == begun + 1


_PUT_OFF = """
for number = 1, tonumber(ARGV[1]) do
  local id = number .. '-1'
  redis.call('ZADD', KEYS[2], ARGV[2], id)
  redis.call('XCLAIM', KEYS[1], 'g', 'holder', 0, id, 'IDLE', 100000, 'JUSTID')
end
"""


async def test_a_reclaim_says_where_something_is_pending(commands: Redis) -> None:
    streams = await many_streams(commands, count=3)
    await commands.xreadgroup("g", "holder", {streams[1]: ">"})
    places: dict[str, str] = {}
    await reclaim(commands, "g", "me", streams, lease_seconds=30, count=1, places=places)
    assert places == {streams[0]: NOTHING_PENDING, streams[1]: FIRST, streams[2]: NOTHING_PENDING}


async def test_leases_are_looked_at_few_at_a_time_however_many_streams_have_some(
    commands: Redis, calls: Calls
) -> None:
    streams = await many_streams(commands, count=8)
    pipeline = commands.pipeline(transaction=False)
    for stream in streams:
        for _ in range(199):
            pipeline.xadd(stream, {"data": "{}"})
        pipeline.xreadgroup("g", "holder", {stream: ">"}, count=200)
    await pipeline.execute()
    await clock_steps.mend(commands, "g", streams, lease_seconds=30)
    assert len(calls.keys) >= 4, "about 300 leases at a time, of 1600"
    for stream in streams:
        assert (await recorded(commands, stream, "clock")).endswith(b" +")
    assert await entries(commands, streams[0])


async def test_an_empty_choice_of_streams_asks_nothing(commands: Redis, calls: Calls) -> None:
    await fill(commands, A, 1)
    assert await groups.ensure_group(commands, [], "g") == []
    assert calls.keys == []


async def test_one_call_trims_few_streams_however_many_groups_they_have(
    commands: Redis, calls: Calls
) -> None:
    streams = await many_streams(commands, count=12)
    pipeline = commands.pipeline(transaction=False)
    for stream in streams:
        pipeline.xadd(stream, {"data": "{}"})
        pipeline.xgroup_setid(stream, "g", "$")
        for number in range(99):
            pipeline.xgroup_create(stream, f"g{number}", "$")
    await pipeline.execute()
    answers = await trim.trim(commands, streams, 1, idle_days=7)
    assert [one.removed for one in answers] == [1] * 12
    assert len(calls.keys) >= 4, "about 300 groups at a time, of 1200"


async def test_one_call_lists_few_pending_entries_however_many_streams_have_some(
    commands: Redis, calls: Calls
) -> None:
    streams = await many_streams(commands, count=12)
    pipeline = commands.pipeline(transaction=False)
    for stream in streams:
        for _ in range(999):
            pipeline.xadd(stream, {"data": "{}"})
        pipeline.xreadgroup("g", "holder", {stream: ">"}, count=1000)
    await pipeline.execute()
    ensured = await groups.ensure_group(commands, streams, "g")
    assert ensured == [groups.Ensured("ready", 0)] * 12
    assert len(calls.keys) >= 6, "about 1500 pending entries at a time, of 12,000"
    for stream in streams:
        await commands.hdel(names.records(stream), "known g")
    calls.keys.clear()
    answers = await groups.record_progress(commands, streams, "g")
    assert [one.unfinished for one in answers] == [1000] * 12
    assert len(calls.keys) >= 6


_POSTPONE = """
for number = 1, tonumber(ARGV[1]) do redis.call('ZADD', KEYS[1], number, (1000 + number) .. '-1') end
redis.call('ZADD', KEYS[1], 99999999999999, ARGV[2])
"""


async def test_a_postponed_entry_stays_however_many_are_due_before_it(commands: Redis) -> None:
    """Somebody removed the consumer that had postponed it, so it is not pending."""
    ids = await fill(commands, A, 5)
    await commands.xgroup_setid(A, "g", "$")
    redis: Any = commands
    await redis.eval(_POSTPONE, 1, names.due(A, "g"), 12_000, ids[2])
    (answer,) = await trim.trim(commands, [A], 1, idle_days=7)
    assert answer.removed == 2
    assert (await entries(commands, A))[0][0] == ids[2]


_ANNOUNCE = "for n = 1, tonumber(ARGV[1]) do redis.call('ZADD', KEYS[1], ARGV[2 + n % 2], 'slack:' .. n) end"


@pytest.mark.parametrize("times", [(3, 4), (3.25, 3.25)], ids=["some at a time", "all at once"])
async def test_the_index_is_read_in_pages(
    commands: Redis, monkeypatch: pytest.MonkeyPatch, times: tuple[float, float]
) -> None:
    redis: Any = commands
    await redis.eval(_ANNOUNCE, 1, names.INDEX, 3500, *times)
    pages: list[int] = []
    zrange = redis.zrange

    async def spied(*words: Any, **options: Any) -> Any:
        pages.append(options["num"])
        return await zrange(*words, **options)

    monkeypatch.setattr(redis, "zrange", spied)
    found = await announced(commands, 0)
    assert found == {f"slack:{number}": times[number % 2] for number in range(1, 3501)}
    assert len(pages) >= 3
    assert pages[0] == 1000


_STRINGS = "for n = 1, tonumber(ARGV[1]) do redis.call('SET', 'string' .. n, 1) end"


@pytest.mark.one_server
async def test_one_scan_examines_few_keys_however_many_there_are(
    commands: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(commands, "slack:1", 1)
    redis: Any = commands
    await redis.eval(_STRINGS, 0, 8000)
    asked: list[int] = []
    scan = Redis.scan

    async def spied(self: Redis, *words: Any, **options: Any) -> Any:
        asked.append(options["count"])
        return await scan(self, *words, **options)

    monkeypatch.setattr(Redis, "scan", spied)
    assert await existing(commands, Patterns(["slack:*"])) == ["slack:1"]
    assert len(asked) >= 3
    assert max(asked) == slots.MOST_KEYS <= 2000
    asked.clear()
    monkeypatch.setattr(find_streams, "_SCAN_STEPS", 2)
    search = Search(Patterns(["slack:*"]))
    await search.step(commands)
    assert 4000 <= sum(asked) <= 4010, "a step is half of all keys"
    assert max(asked) == slots.MOST_KEYS
    await search.step(commands)
    assert set(await announced(commands, 0)) == {"slack:1"}
