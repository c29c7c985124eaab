"""A takeover holds the server for a few milliseconds per call, however much is postponed or pending."""

from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.streams import names, owners
from tests.integration.on_streams import LONG_MS, A, let_lapse, now_ms, rows

pytestmark = pytest.mark.one_server

OWNER = owners.Owner.make("g", "me", LONG_MS / 2000)

_PEND = """
redis.call('XGROUP', 'CREATE', KEYS[1], 'g', '0', 'MKSTREAM')
for number = 1, tonumber(ARGV[1]) do redis.call('XADD', KEYS[1], number .. '-1', 'data', '{}') end
redis.call('XREADGROUP', 'GROUP', 'g', 'holder', 'STREAMS', KEYS[1], '>')
"""
_POSTPONE = "for number = 1, tonumber(ARGV[1]) do redis.call('ZADD', KEYS[1], ARGV[2], number .. '-1') end"


async def pend(redis: Redis, count: int, *, postponed: int = 0) -> list[str]:
    """Entries that a consumer holds, of which the first are postponed, all until the same time."""
    send: Any = redis
    await send.eval(_PEND, 1, A, count)
    await send.eval(_POSTPONE, 1, names.due(A, "g"), postponed, int(await now_ms(redis)) + 3_600_000)
    await owners.own(redis, OWNER, [A])
    return [f"{number}-1" for number in range(1, count + 1)]


async def soonest(redis: Redis) -> list[str]:
    found: Any = await redis.zrange(names.due(A, "g"), 0, -1)
    return [one.decode() for one in found]


class Commands:
    """What each script that a client sends lets the server do."""

    def __init__(self, redis: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.of_each: list[int] = []
        send = redis.execute_command

        async def execute_command(*words: Any, **options: Any) -> Any:
            if words[0] not in {"EVALSHA", "EVAL"}:
                return await send(*words, **options)
            before = await self._count(redis)
            answer = await send(*words, **options)
            self.of_each.append(await self._count(redis) - before)
            return answer

        monkeypatch.setattr(redis, "execute_command", execute_command)

    @staticmethod
    async def _count(redis: Any) -> int:
        of: dict[str, Any] = await redis.info("commandstats")
        return sum(one["calls"] for name, one in of.items() if name.startswith(("cmdstat_x", "cmdstat_z")))


@pytest.fixture
def work(commands: Redis, monkeypatch: pytest.MonkeyPatch) -> Commands:
    return Commands(commands, monkeypatch)


async def load_all(redis: Redis, *, everybody: bool = True) -> list[str]:
    found: list[str] = []
    rest, is_first = None, True
    while is_first or rest is not None:
        idle = 0 if everybody else OWNER.lease_seconds
        loaded = await owners.load(redis, OWNER, A, everybody=everybody, idle_seconds=idle, rest=rest)
        assert loaded is not None
        found += [entry.id for entry, _ in loaded.entries]
        rest, is_first = loaded.rest, False
    return found


@pytest.mark.parametrize("is_dropped", [False, True], ids=["held", "dropped"])
async def test_a_call_does_as_much_however_much_is_postponed(
    commands: Redis, work: Commands, is_dropped: bool
) -> None:
    ids = await pend(commands, 2000, postponed=2000)
    if is_dropped:
        assert await commands.xgroup_delconsumer(A, "g", "holder") == 2000
    work.of_each.clear()
    assert await load_all(commands) == ids
    assert max(work.of_each) < 800, "300 are looked at, or 30 put back, and a hundred taken over"
    assert sum(work.of_each) < 10 * len(ids), "it goes on where the last call stopped"
    assert {name for name, _, _ in (await rows(commands, A)).values()} == {"me"}


async def test_what_is_postponed_and_settled_meanwhile_hides_nothing(
    commands: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The place where a step goes on is told by the last entry of the step before."""
    ids = await pend(commands, 200, postponed=200)
    await commands.xgroup_delconsumer(A, "g", "holder")
    monkeypatch.setattr(owners, "_MOST_LOADED", 100)  # one step at a time
    by_due = await soonest(commands)
    first = await owners.load(commands, OWNER, A, everybody=True)
    assert first is not None
    assert first.rest is not None
    settled = by_due[20:40]  # before that place, on it, and behind it
    assert first.rest.start.split()[-1] in settled
    await commands.zrem(names.due(A, "g"), *settled)
    await commands.xack(A, "g", *settled)
    rest: owners.Rest | None = first.rest
    found: list[str] = []
    while rest is not None:
        loaded = await owners.load(commands, OWNER, A, everybody=True, rest=rest)
        assert loaded is not None
        found += [entry.id for entry, _ in loaded.entries]
        rest = loaded.rest
    assert found == [one for one in ids if one not in settled]


async def test_what_the_stream_no_longer_has_is_counted_once_and_hides_nothing(commands: Redis) -> None:
    ids = await pend(commands, 200, postponed=200)
    await commands.xgroup_delconsumer(A, "g", "holder")
    gone = (await soonest(commands))[:100]
    await commands.xdel(A, *gone)
    loaded = await owners.load(commands, OWNER, A, everybody=True)
    assert loaded is not None
    lost, found, rest = loaded.lost, [entry.id for entry, _ in loaded.entries], loaded.rest
    while rest is not None:
        loaded = await owners.load(commands, OWNER, A, everybody=True, rest=rest)
        assert loaded is not None
        lost, found, rest = lost + loaded.lost, found + [one.id for one, _ in loaded.entries], loaded.rest
    assert lost == 100
    assert found == [one for one in ids if one not in gone]
    assert await commands.zcard(names.due(A, "g")) == 100


async def test_an_owner_that_looks_for_abandoned_entries_looks_at_the_soonest_thousand(
    commands: Redis, work: Commands
) -> None:
    await pend(commands, 3000, postponed=3000)
    work.of_each.clear()
    assert await load_all(commands, everybody=False) == []
    assert 1000 <= sum(work.of_each) < 1100
    assert max(work.of_each) < 400


async def test_what_is_abandoned_among_very_many_is_loaded_page_by_page(
    commands: Redis, work: Commands
) -> None:
    ids = await pend(commands, 12_000)
    await let_lapse(commands, A, [ids[7_500], ids[11_900]], deliveries=1)
    work.of_each.clear()
    assert await load_all(commands, everybody=False) == [ids[7_500], ids[11_900]]
    assert len(work.of_each) == 13, "a thousand at a time, and nothing behind"
