"""A consumer that makes its group says so: a mistyped name handles all of the history anew."""

import logging
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import EventWorker
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import key_types, names
from tests.integration.conftest import MakeBackend, take, until
from tests.patience import PATIENCE

TOPIC, OTHER = "slack_events", "slack:other"


async def said(make_backend: MakeBackend, group: str, caplog: pytest.LogCaptureFixture, events: int) -> Any:
    """What is logged of a new group when a consumer of it takes the first events."""
    caplog.clear()
    async with make_backend().consume(group=group) as stream:
        await take(stream, events)
    records = [one for one in caplog.records if "is new" in one.getMessage()]
    return [(one.levelname, one.getMessage()) for one in records]


@pytest.fixture(autouse=True)
def _hear_all(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def test_it_says_where_it_begins_and_what_waits(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await make_backend().publish_many(TOPIC, [{"n": n} for n in range(3)])
    ((level, sentence),) = await said(make_backend, "workers", caplog, 3)
    assert level == "INFO"
    assert (
        "Group 'workers' of 'slack_events' is new: it begins at the oldest event, so 3 events wait"
        in sentence
    )
    move = "`abe-redis group reset slack_events workers --from now --force`"
    assert f"To leave out what waits, move the group to the end: {move}. Before" in sentence
    assert await said(make_backend, "workers", caplog, 0) == []


async def test_it_warns_where_others_have_handled_them_and_names_the_group_that_was_meant(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    for stream in (TOPIC, OTHER):
        await make_backend().publish(stream, {"n": 1})
    await said(make_backend, "workers", caplog, 2)
    ((level, sentence),) = await said(make_backend, "wrokers", caplog, 2)
    assert level == "WARNING"
    assert "(2 streams)" in sentence
    assert "2 events wait for it, which other groups ('workers') may have handled" in sentence
    assert "Was 'workers' meant?" in sentence
    assert f"`abe-redis group remove {TOPIC} wrokers --force`, and so for each of the 2 streams." in sentence
    assert f"`abe-redis group reset {TOPIC} wrokers --from now --force`, and so for each." in sentence
    ((_, sentence),) = await said(make_backend, "audit", caplog, 2)
    assert "meant" not in sentence


async def test_it_says_nothing_of_streams_that_are_newer_than_the_consumer(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = make_backend()
    async with make_backend().consume(group="workers") as stream:
        await publisher.publish(TOPIC, {"n": 1})
        await take(stream, 1)
    assert "is new" not in caplog.text


async def test_one_that_was_made_at_the_end_gets_later_events_only(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    backend = make_backend()
    await backend.publish(TOPIC, {"n": 1})
    await Groups(Scope(backend, origin="cli")).create(TOPIC, "audit", start="now")
    await backend.publish(TOPIC, {"n": 2})
    async with backend.consume(group="audit") as events:
        assert await take(events, 1) == [{"n": 2}]
    assert "is new" not in caplog.text


async def test_a_worker_that_does_not_reach_redis_claims_nothing(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither that it handles events, nor that it had some to give back."""
    worker = EventWorker(make_backend(redis_url="redis://127.0.0.1:1"), print)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        with anyio.fail_after(PATIENCE):
            while "could not be reached" not in caplog.text:
                await anyio.sleep(0.01)
        await worker.shutdown()
    assert "handles events" not in caplog.text
    assert "could not release its events" not in caplog.text


async def test_it_says_nothing_of_a_stream_that_is_empty_and_lists_few_of_many(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    publisher = make_backend()
    await redis.xgroup_create(TOPIC, "other", "0", mkstream=True)
    for number in range(5):
        await publisher.publish(f"slack:{number}", {"n": number})

    async def all_are_announced() -> bool:
        return int(await redis.zcard(names.INDEX)) == 5

    await until(all_are_announced)
    sentences = await said(make_backend, "workers", caplog, 5)
    assert "5 events wait" in sentences[0][1]
    assert "(5 streams)" in sentences[0][1]
    assert "and 2 more" in sentences[0][1]
    assert "for each of the 5 streams, which `abe-redis group list` names" in sentences[0][1]
    assert TOPIC not in sentences[0][1]


async def test_a_key_beside_the_stream_of_another_type_is_said_and_waited_for(
    make_backend: MakeBackend, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    helper = names.records(TOPIC)
    await make_backend().publish(TOPIC, {"n": 1})
    await redis.delete(helper)
    await redis.set(helper, "of somebody else")
    async with make_backend().consume() as stream, anyio.create_task_group() as tasks:
        tasks.start_soon(take, stream, 1)

        async def is_said() -> bool:
            return "a key beside it is of another type" in caplog.text

        await until(is_said)
        (found,) = await key_types.mistyped(redis, [TOPIC], "default")
        assert found.sentence.startswith(
            f"The key {helper!r} is a string, but it is abe-redis's own and must"
        )
        await redis.delete(helper)


async def test_it_says_why_a_stream_is_read_that_no_pattern_names(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    await make_backend().publish(TOPIC, {"n": 1})
    caplog.clear()
    async with make_backend(redis_stream_patterns=("slack:lib",)).consume(group="lib") as stream:
        await take(stream, 1)
    assert "'slack_events' is not in REDIS_STREAM_PATTERNS; it is read because it is the topic" in caplog.text
    caplog.clear()
    async with make_backend().consume(group="other") as stream:
        await take(stream, 1)
    assert "is new" in caplog.text
    assert "not in REDIS_STREAM_PATTERNS" not in caplog.text
