"""A mention is two events for Slack and one for those who ask for it, and nothing else is lost."""

from itertools import permutations
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Settings, slack_event
from abe_redis.testing import InMemoryBackend
from tests.integration.conftest import MakeBackend, take, until
from tests.unit.events.shapes import CHANNEL, USER, envelope

TOPIC = "slack_events"
BOTH = ("app_mention", "message")
MENTION = {"type": "app_mention", "channel": CHANNEL, "user": USER, "text": "<@U0BOT> go", "ts": "10.1"}
MESSAGE = MENTION | {"type": "message", "channel_type": "channel"}


def posted(event: dict[str, Any], event_id: str, **more: Any) -> dict[str, Any]:
    return envelope(event, event_id=event_id, **more)


@pytest.fixture(params=["redis", "memory"])
def make(request: pytest.FixtureRequest, make_backend: MakeBackend) -> Any:
    """Makes either kind of back end."""

    def made(**settings: Any) -> Any:
        chosen = {"redis_stream_merge_mentions": True} | settings
        if request.param == "redis":
            return make_backend(**chosen)
        return InMemoryBackend(Settings(**chosen))

    return made


@pytest.mark.parametrize("order", list(permutations(["app_mention", "message"])), ids="-".join)
async def test_the_first_is_kept_and_stands_for_both(order: tuple[str, str], make: Any) -> None:
    events = {"app_mention": posted(MENTION, "Ev1"), "message": posted(MESSAGE, "Ev2")}
    backend = make()
    first, second = [await backend.publish_event(TOPIC, events[name]) for name in order]
    again = [await backend.publish_event(TOPIC, events[name]) for name in order]
    assert [one.duplicate for one in (first, second, *again)] == [False, True, True, True]
    assert {one.id for one in (second, *again)} == {first.id}
    await backend.publish(TOPIC, posted(MESSAGE | {"ts": "11.1"}, "Ev3"))
    async with backend.consume() as events_of:
        kept, other = await take(events_of, 2)
    assert kept["event"]["type"] == order[0]
    assert kept.merged_types == other.merged_types == BOTH
    assert slack_event(kept)["type"] == "app_mention"


@pytest.mark.parametrize("said", ["<@U0BOT>", "<@U0BOT|bot> go"])
@pytest.mark.parametrize("where", ["text", "fields"])
async def test_a_mention_in_the_marked_text_of_a_block_is_one(where: str, said: str, make: Any) -> None:
    text = {"type": "mrkdwn", "text": said}
    block = {"type": "section", where: [text] if where == "fields" else text}
    events = [one | {"text": "", "blocks": [block]} for one in (MENTION, MESSAGE)]
    done = await make().publish_many(TOPIC, [posted(one, f"Ev{n}") for n, one in enumerate(events)])
    assert [one.duplicate for one in done] == [False, True]


@pytest.mark.parametrize(
    "text", [{"type": "plain_text", "text": "<@U0BOT>"}, {"type": "mrkdwn", "text": "<@U0BOT2>"}]
)
async def test_a_message_whose_blocks_mention_nobody_is_not_merged_with_a_mention(
    text: dict[str, str], make: Any
) -> None:
    message = MESSAGE | {"text": "", "blocks": [{"type": "section", "text": text}]}
    done = await make().publish_many(TOPIC, [posted(MENTION, "Ev1"), posted(message, "Ev2")])
    assert [one.duplicate for one in done] == [False, False]


async def test_all_in_one_step_is_as_one_by_one(make: Any) -> None:
    backend = make()
    batch = [posted(MENTION, "Ev1"), posted(MESSAGE, "Ev2"), posted(MESSAGE | {"ts": "11.1"}, "Ev3")]
    done = await backend.publish_many(TOPIC, [*batch, *batch])
    assert [one.duplicate for one in done] == [False, True, False, True, True, True]


async def test_without_the_setting_both_are_kept(make: Any) -> None:
    backend = make(redis_stream_merge_mentions=False)
    done = await backend.publish_many(TOPIC, [posted(MENTION, "Ev1"), posted(MESSAGE, "Ev2")])
    assert [one.duplicate for one in done] == [False, False]
    async with backend.consume() as events:
        assert {event.merged_types for event in await take(events, 2)} == {()}


EDITED = {"user": USER, "ts": "12.0"}
NOT_TWINS = {
    "a message that is no mention": MESSAGE | {"text": "go"},
    "a message of the app": MESSAGE | {"user": "U0BOT", "bot_id": "B0BOT"},
    "a message of a bot that may be the app's": MESSAGE | {"user": None, "bot_id": "B0BOT"},
    "what somebody does (/me)": MESSAGE | {"subtype": "me_message"},
    "an edit": {
        "type": "message",
        "subtype": "message_changed",
        "channel": CHANNEL,
        "ts": "10.1",
        "message": MESSAGE,
    },
    "a deletion": {"type": "message", "subtype": "message_deleted", "channel": CHANNEL, "ts": "10.1"},
    "a broadcast that mentions another": MESSAGE | {"subtype": "thread_broadcast", "text": "<@U0BOB>"},
    "a file that mentions nobody": MESSAGE | {"subtype": "file_share", "text": ""},
    "the mention of an edited message": MENTION | {"edited": EDITED},
    "a mention elsewhere": MENTION | {"channel": "C0OTHER"},
    "another mention": MENTION | {"ts": "10.2"},
}


@pytest.mark.parametrize("first", [MENTION, MESSAGE], ids=BOTH)
@pytest.mark.parametrize("other", NOT_TWINS.values(), ids=NOT_TWINS)
async def test_an_event_of_the_same_place_that_is_no_twin_is_never_dropped(
    first: dict[str, Any], other: dict[str, Any], make: Any
) -> None:
    for events in ((first, other), (other, first)):
        backend = make(slack_events_topic=f"slack:{'first' if events[0] is first else 'other'}")
        topic = backend.settings.slack_events_topic
        done = [
            await backend.publish_event(topic, posted(event, f"Ev{number}"))
            for number, event in enumerate(events)
        ]
        assert [one.duplicate for one in done] == [False, False]


async def test_two_messages_at_one_place_are_both_kept(make: Any) -> None:
    backend = make()
    twice = [posted(MESSAGE, "Ev1"), posted(MESSAGE | {"subtype": "thread_broadcast"}, "Ev2")]
    assert [one.duplicate for one in await backend.publish_many(TOPIC, twice)] == [False, False]
    late = await backend.publish_event(TOPIC, posted(MENTION, "Ev3"))
    assert late.duplicate


async def test_each_app_has_its_own(make: Any) -> None:
    backend = make()
    done = await backend.publish_many(
        TOPIC, [posted(MENTION, "Ev1", api_app_id="A1"), posted(MESSAGE, "Ev2", api_app_id="A2")]
    )
    assert [one.duplicate for one in done] == [False, False]


async def test_it_is_remembered_in_the_streams_slot_and_not_for_ever(
    make_backend: MakeBackend, redis: Redis
) -> None:
    backend = make_backend(redis_stream_merge_mentions=True, redis_stream_dedup_seconds=100)
    await backend.publish(TOPIC, posted(MENTION, "Ev1"))
    key = "abe:seen:{slack_events}:mention:A0BOT:C0ROOM:10.1"
    assert 0 < await redis.pttl(key) <= 100_000
    off = make_backend(redis_stream_merge_mentions=True, redis_stream_dedup_seconds=0)
    await off.publish(TOPIC, posted(MENTION | {"ts": "11.1"}, "Ev2"))
    assert 0 < await redis.pttl(key.replace("10.1", "11.1")) <= 3_600_000
    await redis.delete(TOPIC)
    assert not (await backend.publish_event(TOPIC, posted(MESSAGE, "Ev3"))).duplicate, "the stream is gone"


async def test_a_mention_that_waited_in_the_outbox_meets_its_twin(
    make_backend: MakeBackend, tmp_path: Any, redis: Redis
) -> None:
    backend = make_backend(redis_stream_merge_mentions=True, redis_outbox=tmp_path / "outbox")
    await backend.publish(TOPIC, posted(MENTION, "Ev1"))
    draft = backend._publisher._draft(TOPIC, posted(MESSAGE, "Ev2"), None, None)
    outbox = backend._publisher.outbox
    assert outbox is not None
    from abe_redis.errors import RedisUnavailableError

    await outbox.keep(draft, RedisUnavailableError("Redis is away."), published_at=0)

    async def delivered() -> bool:
        return (await outbox.size()).waiting == 0

    await until(delivered)
    assert await redis.xlen(TOPIC) == 1


async def test_a_bot_that_quotes_its_own_name_does_not_answer_itself(make: Any) -> None:
    """Slack sends its message, and no mention."""
    backend, answered = make(), list[str]()
    worker = EventWorker(backend, group="bot", view=slack_event)
    own = {"user": "U0BOT", "bot_id": "B0BOT", "text": "I am <@U0BOT>."}

    async def handle(event: Event) -> None:
        answered.append(event["type"])
        if event["type"] == "app_mention":
            echo = MESSAGE | own | {"ts": f"{20 + len(answered)}.1"}
            await backend.publish(TOPIC, posted(echo, f"Ev{len(answered)}0"))
        else:
            await worker.shutdown()

    await backend.publish(TOPIC, posted(MENTION, "Ev1"))
    await worker.run(handle)
    assert answered == ["app_mention", "message"]


async def test_a_bot_answers_once(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_merge_mentions=True)
    answered: list[str] = []
    worker = EventWorker(backend, group="bot", view=slack_event)

    async def handle(event: Event) -> None:
        answered.append(event["type"])
        if event["text"] == "stop":
            await worker.shutdown()

    stop = posted(MESSAGE | {"text": "stop", "ts": "12.1"}, "Ev3")
    await backend.publish_many(TOPIC, [posted(MESSAGE, "Ev2"), posted(MENTION, "Ev1"), stop])
    await worker.run(handle)
    assert answered == ["app_mention", "message"]
