"""What Slack really sends, through Redis: in order, once, without its secret, and found by who and where."""

import json
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, Operations, RedisMessageQueueBackend
from abe_redis.testing import InMemoryBackend
from tests.integration.conftest import MakeBackend, take
from tests.patience import PATIENCE
from tests.unit.events.shapes import APP, CHANNEL, USER, action, command, envelope

TOPIC = "slack_events"


def said(number: int, **more: Any) -> dict[str, Any]:
    event = {"type": "message", "channel": CHANNEL, "user": USER, "ts": f"{number}.1", "n": number}
    return envelope(event, **({"event_id": f"Ev{number}"} | more))


async def handled_in_order(backend: RedisMessageQueueBackend, count: int) -> list[int]:
    """The numbers as ordered handlers begin and end them: twice each, side by side when one at a time."""
    log: list[int] = []

    async def handle(event: Event) -> None:
        log.append(event["event"]["n"])
        await anyio.sleep(0.02)
        log.append(event["event"]["n"])

    worker = EventWorker(backend, handle, group="bot", concurrency=4, ordered=True)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            while len(log) < 2 * count:
                await anyio.sleep(0.01)
            await worker.shutdown()
    return log


@pytest.mark.promise("`channel` (default): a channel")
async def test_a_shared_channel_is_in_order_whatever_the_team(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_partitions=8)
    published = [
        await backend.publish_event(
            TOPIC,
            said(
                number,
                team_id=("T0HOME", "T0AWAY")[number % 2],
                context_team_id=("T0HOME", "T0AWAY", None)[number % 3],
                authorizations=[{"team_id": ("T0AWAY", "T0HOME")[number % 2]}],
            ),
        )
        for number in range(1, 7)
    ]
    assert len({one.stream for one in published}) == 1
    assert await handled_in_order(backend, 6) == [number for number in range(1, 7) for _ in range(2)]


@pytest.mark.promise("So a burst of `user_change` waits only for events of the same person")
async def test_people_do_not_wait_for_each_other(make_backend: MakeBackend) -> None:
    backend = make_backend()
    both_at_work = anyio.Event()
    at_work = set[str]()

    async def handle(event: Event) -> None:
        at_work.add(event["event"]["user"]["id"])
        if len(at_work) == 2:
            both_at_work.set()
        await both_at_work.wait()

    changes = [
        envelope({"type": "user_change", "user": {"id": user}}, event_id=f"Ev{user}") for user in ("U1", "U2")
    ]
    await backend.publish_many(TOPIC, changes)
    worker = EventWorker(backend, handle, group="bot", concurrency=2, ordered=True)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await both_at_work.wait()
            await worker.shutdown()


@pytest.mark.promise("`thread`: a thread")
async def test_the_operator_keeps_threads_in_order(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    monkeypatch.setenv("REDIS_STREAM_CONVERSATION", "thread")
    other_at_work = anyio.Event()
    begun: list[int] = []

    async def handle(event: Event) -> None:
        begun.append(event["event"]["n"])
        if event["event"].get("thread_ts") == "2.1":
            other_at_work.set()
        await other_at_work.wait()

    def reply(number: int, root: str) -> dict[str, Any]:
        payload = said(number)
        payload["event"]["thread_ts"] = root
        return payload

    async with RedisMessageQueueBackend.from_env() as backend:
        await backend.publish_many(TOPIC, [said(1), reply(3, "1.1"), reply(4, "2.1")])
        worker = EventWorker(backend, handle, group="bot", concurrency=3, ordered=True)
        with anyio.fail_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(worker.run)
                while len(begun) < 3:
                    await anyio.sleep(0.01)
                await worker.shutdown()
    assert begun == [1, 4, 3], "the root's thread waits for the root, the other one for nobody"


@pytest.mark.promise("never reaches Redis, whatever kind of payload carries it")
async def test_no_verification_token_reaches_redis(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    posted = [
        said(1),
        action("block_actions"),
        action("view_submission", view={}),
        action("shortcut", callback_id="new"),
        action("message_action"),
        action("hologram_touched"),
        command(),
        {"type": "app_rate_limited", "token": "verification", "team_id": "T1", "api_app_id": APP},
        {"type": "url_verification", "token": "verification", "challenge": "x"},
    ]
    await backend.publish_many(TOPIC, posted)
    await backend.publish(TOPIC, {"token": "of my own"})
    entries: Any = await redis.xrange(TOPIC)
    raw = [fields[b"data"] for _, fields in entries]
    assert not [data for data in raw if b"verification" in data.replace(b"url_verification", b"")]
    async with backend.consume() as events:
        found = [dict(event) for event in await take(events, len(posted) + 1)]
    assert found == [{key: one[key] for key in one if key != "token"} for one in posted] + [
        {"token": "of my own"}
    ]


@pytest.fixture(params=["redis", "memory"])
def either(request: pytest.FixtureRequest, make_backend: MakeBackend) -> Any:
    """Makes either kind of back end."""
    if request.param == "redis":
        return make_backend

    def make(**settings: Any) -> InMemoryBackend:
        return InMemoryBackend(make_backend(**settings).settings)

    return make


async def test_an_event_id_is_an_apps(either: Any) -> None:
    backend = either()
    published = [
        await backend.publish_event(TOPIC, said(1, event_id="Ev1", api_app_id=app), **given)
        for app, given in (
            ("A1", {}),
            ("A2", {}),
            ("A1", {}),
            ("A2", {"event_id": "Ev1"}),
            ("A3", {"event_id": "Ev1"}),
            (None, {}),
            ("A1", {"event_id": "mine"}),
        )
    ]
    assert [one.duplicate for one in published] == [False, False, True, True, False, False, False]
    assert published[2].id == published[0].id
    assert published[3].id == published[1].id


async def test_another_hosts_ids_are_found_by_the_setting(either: Any) -> None:
    backend = either(
        redis_stream_patterns="clickup.webhooks", redis_stream_event_id="delivery_id,headers.x-request-id"
    )
    payloads: list[dict[str, Any]] = [
        {"type": "taskUpdated", "delivery_id": "d1", "body": {}},
        {"type": "taskUpdated", "delivery_id": None, "headers": {"X-Request-ID": "r1"}},
        {"type": "taskUpdated", "delivery_id": "d2"},
        {"type": "taskUpdated"},
    ]
    twice = [await backend.publish_event("clickup.webhooks", one) for one in (*payloads, *payloads)]
    assert [one.duplicate for one in twice] == [False] * 4 + [True, True, True, False]
    slacks = [await backend.publish_event("clickup.webhooks", said(1) | {"delivery_id": n}) for n in "xy"]
    assert [one.duplicate for one in slacks] == [False, True], "Slack's own id counts"
    await backend.publish(TOPIC, said(2))
    async with backend.consume(group="clickup.webhooks") as events:
        found = await take(events, 6)
        assert {event.stream for event in found} == {"clickup.webhooks"}


async def test_tools_look_at_the_hosts_stream_by_default(make_backend: MakeBackend) -> None:
    backend = make_backend(redis_stream_patterns="clickup.webhooks")
    await backend.publish("clickup.webhooks", {"type": "taskUpdated"})
    (event,) = (await Operations(backend).read_stream()).events
    assert event.event_type == "taskUpdated"


SHAPES = {
    "edit": envelope(
        {"type": "message", "subtype": "message_changed", "channel": CHANNEL, "message": {"user": USER}}
    ),
    "deletion": envelope(
        {
            "type": "message",
            "subtype": "message_deleted",
            "channel": CHANNEL,
            "previous_message": {"user": USER},
        }
    ),
    "file_shared": envelope({"type": "file_shared", "channel_id": CHANNEL, "user_id": USER}),
    "assistant_thread_started": envelope(
        {"type": "assistant_thread_started", "assistant_thread": {"user_id": USER, "channel_id": CHANNEL}}
    ),
    "button": action(
        "block_actions", container={"channel_id": CHANNEL}, actions=[{"type": "button", "action_id": "a"}]
    ),
    "/deploy": command(),
}


async def test_filters_find_every_shape(backend: RedisMessageQueueBackend) -> None:
    for number, payload in enumerate(SHAPES.values()):
        await backend.publish(TOPIC, payload | ({"event_id": f"Ev{number}"} if "event" in payload else {}))
    await backend.publish(
        TOPIC, envelope({"type": "message", "channel": "C0OTHER", "user": "U0BOB"}, event_id="Ev9")
    )
    operations = Operations(backend)
    for chosen in ({"user": USER}, {"channel": CHANNEL}, {"user": USER, "channel": CHANNEL}):
        found = (await operations.read_stream(order="oldest", count=50, **chosen)).events  # type: ignore[arg-type]
        assert [event.summary.split()[0] for event in found] == list(SHAPES)
        assert all(f"by {USER}" in event.summary and f"in {CHANNEL}" in event.summary for event in found)
    (seen,) = (await operations.read_stream(event_type="slash_command")).events
    assert seen.summary == "/deploy web by U0ANN in C0ROOM"
    assert "verification" not in json.dumps(seen.payload)
