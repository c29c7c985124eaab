"""What a removed consumer held: kept by trimming, counted as lost once, and left away where it was erased."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import acks, manage, release
from abe_redis.streams.erase import erase
from abe_redis.streams.trim import trim
from tests.integration.on_streams import A, always, entries, fill, recorded, rows
from tests.integration.streams.removed_consumers import HOW, join, record, redis_url, remove, take, taken_over

__all__ = ["redis_url"]


@HOW
@pytest.mark.parametrize("since", ["listed", "just taken", "just come"])
async def test_trimming_keeps_what_a_removed_consumer_held(commands: Redis, how: str, since: str) -> None:
    ids = await fill(commands, A, 20)
    await join(commands, "dead")
    if since != "just come":
        await record(commands)
    assert await take(commands, "dead", 20) == ids
    if since == "listed":
        await record(commands)
    await acks.ack(commands, "g", "dead", [(A, entry_id) for entry_id in ids if entry_id != ids[3]])
    await remove(commands, "dead")
    await trim_to(commands, 2)
    assert [entry_id for entry_id, _ in await taken_over(commands, how)] == [ids[3]]
    await acks.ack(commands, "g", "owner" if how == "owner" else "other", [(A, ids[3])])
    await record(commands)
    await trim_to(commands, 2)
    assert await commands.xlen(A) == 2


@pytest.mark.parametrize("is_listed", [True, False], ids=["listed", "just taken"])
async def test_trimming_keeps_what_a_removed_consumer_held_that_is_there_again(
    commands: Redis, is_listed: bool
) -> None:
    """A read of its own, which was on its way, has made it again; then its worker dies."""
    ids = await fill(commands, A, 20)
    await join(commands, "dead")
    assert await take(commands, "dead", 20) == ids
    if is_listed:
        await record(commands)
    await acks.ack(commands, "g", "dead", [(A, entry_id) for entry_id in ids if entry_id != ids[3]])
    await remove(commands, "dead")
    await commands.xgroup_createconsumer(A, "g", "dead")
    await trim_to(commands, 2)
    assert ids[3] in dict(await entries(commands, A))


async def trim_to(redis: Redis, length: int) -> None:
    await trim(redis, [A], length, idle_days=0)


async def test_what_was_removed_meanwhile_counts_as_lost_once(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await record(commands)
    await commands.xdel(A, ids[0])
    await remove(commands, "dead")
    progress = await record(commands)
    assert (progress.put_back, progress.lost) == (1, 1)
    assert (await record(commands)).lost == 0
    assert await recorded(commands, A, "lost") == b"1"


async def test_what_counts_as_lost_is_not_counted_again_when_its_worker_gives_it_back(
    commands: Redis,
) -> None:
    """The worker lives, and somebody else noticed first that its consumer is gone."""
    (entry_id,) = await fill(commands, A, 1)
    await join(commands, "alive")
    await take(commands, "alive", 1)
    await record(commands)
    await remove(commands, "alive")
    await commands.xtrim(A, maxlen=0, approximate=False)
    assert (await record(commands)).lost == 1
    for _ in range(2):
        assert (
            await release.postpone(
                commands, A, "g", "alive", entry_id, delay_seconds=0, begun=1, sure=always, in_hand=True
            )
            != "done"
        )
        assert (await record(commands)).lost == 0
    assert await recorded(commands, A, "lost") == b"1"


async def test_what_is_erased_on_purpose_stays_away(commands: Redis) -> None:
    ids = await fill(commands, A, 3)
    await join(commands, "dead")
    await take(commands, "dead", 2)
    await record(commands)
    await erase(commands, A, ids[:1])
    await remove(commands, "dead")
    progress = await record(commands)
    assert (progress.put_back, progress.lost) == (1, 0)
    assert list(await rows(commands, A)) == ids[1:2]


UNLISTED = (
    "10 events of '{t}a' that group 'g' had not finished were dropped with a consumer that somebody removed"
)


async def fill_many(redis: Redis) -> list[str]:
    pipeline = redis.pipeline(transaction=False)
    await fill(redis, A, 1)
    for number in range(3009):
        pipeline.xadd(A, {"data": str(number)})
    await pipeline.execute()
    return [entry_id for entry_id, _ in await entries(redis, A)]


async def test_more_than_a_list_has_counts_as_lost(commands: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """3,000 entries are listed; whatever else a removed consumer held is counted, at least."""
    await fill_many(commands)
    await join(commands, "dead")
    await take(commands, "dead", 3010)
    await record(commands)
    await remove(commands, "dead")
    progress = await record(commands)
    assert (progress.put_back, progress.lost, progress.unlisted) == (3000, 10, 10)
    progress = await record(commands)
    assert (progress.put_back, progress.lost) == (0, 0)
    assert caplog.text.count(UNLISTED) == 1


async def test_what_was_counted_takes_nothing_from_the_list(commands: Redis) -> None:
    """Somebody removes one consumer, looks at what that loses, and removes another, while no worker runs."""
    ids = await fill_many(commands)
    await join(commands, "other")
    await take(commands, "other", 1)
    await join(commands, "dead")
    await take(commands, "dead", 3009)
    await record(commands)
    await remove(commands, "dead")
    await manage.reset(commands, A, "g", "$", force=False, dry_run=True)
    assert await recorded(commands, A, "lost") == b"10"
    await remove(commands, "other")
    assert (await record(commands)).put_back == 1
    assert await commands.xpending_range(A, "g", ids[0], ids[0], 1)
    assert await recorded(commands, A, "lost") == b"10"


@HOW
async def test_whoever_finds_it_says_that_it_is_in_the_stream_still(
    commands: Redis, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    await fill_many(commands)
    await join(commands, "dead")
    await take(commands, "dead", 3010)
    await record(commands)
    await remove(commands, "dead")
    await taken_over(commands, how)
    assert await recorded(commands, A, "lost") == b"10"
    assert caplog.text.count(UNLISTED) == 1
    assert f"`abe-redis group replay '{A}' g --from POINT` delivers them again" in caplog.text
    assert "XTRIM" not in caplog.text


@pytest.mark.parametrize(("position", "found"), [("$", (3007, 0)), ("99999999999999-0", (3000, 7))])
async def test_more_than_a_list_has_is_not_lost_in_silence_when_the_group_was_made_again(
    commands: Redis, position: str, found: tuple[int, int]
) -> None:
    """Where Redis does not tell how much the group was given, all that the list does not name comes again."""
    ids = await fill_many(commands)
    await join(commands, "dead")
    await take(commands, "dead", 3010)
    await acks.ack(commands, "g", "dead", [(A, one) for one in ids[:2]])
    await record(commands)
    await acks.ack(commands, "g", "dead", [(A, ids[-1])])
    await commands.xgroup_destroy(A, "g")
    await commands.xgroup_create(A, "g", position)
    progress = await record(commands)
    assert (progress.put_back, progress.lost) == found


@HOW
async def test_what_was_given_last_of_thousands_since_the_list_is_found(commands: Redis, how: str) -> None:
    ids = await fill_many(commands)
    await join(commands, "dead")
    await take(commands, "dead", 3010)
    await acks.ack(commands, "g", "dead", [(A, one) for one in ids[:-5]])
    assert await remove(commands, "dead") == 5
    assert [entry_id for entry_id, _ in await taken_over(commands, how)] == ids[-5:]
