"""What an operator asks of an agent in a day, done by a scripted agent that reads one half of each answer.

A model makes the same calls, from what the answers say alone. Some clients show their model only the text of
an answer, some only its structure; so there are two readers, and every task is solved with either.
"""

import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.answer_readers import Reader, Seen

MOST_CALLS, MOST_CHARS = 5, 8000
TOPIC, DEAD = "slack_events", "dead:{slack_events}"
type Call = Callable[..., Awaitable[Mapping[str, Any]]]
"""Calls a tool, and returns its answer as it came over the wire."""


class Agent:
    """Makes calls, reads one half of each answer, and counts what that takes."""

    def __init__(self, call: Call, reader: Reader) -> None:
        self._call = call
        self._reader = reader
        self.calls = self.chars = 0

    async def __call__(self, tool: str, /, **arguments: Any) -> Seen:
        seen = self._reader.read(await self._call(tool, **arguments))
        self.calls += 1
        self.chars += len(seen.said) + len(json.dumps(arguments))
        return seen


type Task = Callable[[Agent], Awaitable[object]]


async def seed(backend: RedisMessageQueueBackend, redis: Redis) -> None:
    """A queue with a history: channels, groups, what is held, paused, given up on, and nobody's."""
    for number in range(60):
        kind = "app_mention" if number % 5 == 0 else "message"
        words = {4: "the quarterly report is wrong", 11: "poison pill", 23: "please deploy release 7"}
        event = {
            "type": kind,
            "channel": "C0LOUD" if number % 3 else "C0CALM",
            "user": f"U{number % 4}",
            "text": words.get(number, f"hello {number}"),
            "ts": f"17320000{number:02}.000100",
        }
        if number in {31, 32, 33}:
            event["thread_ts"] = "1732000030.000100"
        noise = {"authorizations": [{"team_id": "T1", "user_id": "U1"}] * 9, "event_context": "4-x" * 60}
        envelope = {"type": "event_callback", "event_id": f"Ev{number}", "api_app_id": "A1", "event": event}
        await backend.publish(TOPIC, envelope | noise)
    for name in ("slack:ops", "slack:paused", "slack:quiet"):
        await backend.publish(name, {"type": "message", "channel": "C9", "text": name})
    for group in ("workers", "audit"):
        await Groups(Scope(backend)).create(TOPIC, group, start="beginning")
    read: Any = await redis.xreadgroup("audit", "auditor", {TOPIC: ">"}, count=100)
    await redis.xack(TOPIC, "audit", *(entry_id for _, rows in read for entry_id, _ in rows))
    await redis.xgroup_delconsumer(TOPIC, "audit", "auditor")
    await redis.xgroup_create("slack:quiet", "workers", "$")
    await redis.xgroup_create("slack:paused", "workers", "0")
    await redis.hset("abe:groups:{slack:paused}", "paused workers", "1")
    await redis.xreadgroup("workers", "worker-1", {TOPIC: ">"}, count=3)
    await redis.xreadgroup("workers", "worker-2", {TOPIC: ">"}, count=1)
    for number, reason in enumerate(
        ["timed out after 30 s", "timed out after 31 s", "the field is not JSON"]
    ):
        letter = {"type": "message", "channel": "C0LOUD", "user": "U9", "text": f"letter {number}"}
        facts: dict[Any, Any] = {
            "abe:reason": reason,
            "abe:group": "workers",
            "abe:id": f"1-{number}",
            "abe:deliveries": "5",
        }
        await redis.xadd(DEAD, facts | {"data": json.dumps(letter)})


# --- Looking -------------------------------------------------------------------------------------------


async def what_is_wrong_and_where(agent: Agent) -> object:
    return (await agent("stream_stats")).health


async def which_stream_is_paused(agent: Agent) -> object:
    seen = await agent("stream_stats")
    return [name for name, health in seen.health.items() if health == "paused"]


async def why_is_the_group_behind(agent: Agent) -> object:
    seen = await agent("stream_stats", stream=TOPIC)
    return "4 pending" in seen.said and "56 not delivered" in seen.said


async def who_holds_what(agent: Agent) -> object:
    return [row.holder for row in (await agent("read_stream", group="workers", pending=True)).rows]


async def which_is_oldest_of_what_is_held(agent: Agent) -> object:
    return (await agent("read_stream", group="workers", pending=True, count=1)).rows[0].words


async def what_does_one_worker_hold(agent: Agent) -> object:
    return len((await agent("read_stream", group="workers", pending=True, consumer="worker-1")).rows)


async def find_a_message_by_its_words(agent: Agent) -> object:
    return [row.words for row in (await agent("read_stream", contains="Quarterly Report")).rows]


async def find_an_event_by_its_id(agent: Agent) -> object:
    return [row.words for row in (await agent("read_stream", event_id="Ev23")).rows]


async def was_it_handled(agent: Agent) -> object:
    return (await agent("read_stream", event_id="Ev0")).states


async def was_a_new_one_handled(agent: Agent) -> object:
    return (await agent("read_stream", event_id="Ev59")).states


async def which_mentions_were_there_today(agent: Agent) -> object:
    return len((await agent("read_stream", event_type="app_mention", since="1d", count=50)).rows)


async def which_channel_is_loudest(agent: Agent) -> object:
    return next(iter((await agent("count_events", by="channel")).counts.items()))


async def who_writes_how_much(agent: Agent) -> object:
    return (await agent("count_events", by="user")).counts


async def how_much_came_in_each_hour(agent: Agent) -> object:
    return sum((await agent("count_events", by="hour")).counts.values())


async def how_many_of_each_type_in_the_calm_channel(agent: Agent) -> object:
    return (await agent("count_events", by="type", channel="C0CALM")).counts


async def what_was_said_in_a_thread(agent: Agent) -> object:
    return len((await agent("read_stream", thread="1732000030.000100")).rows)


async def what_did_somebody_say_where(agent: Agent) -> object:
    seen = await agent("read_stream", user="U2", channel="C0CALM", since="1h", count=50)
    return [row.words for row in seen.rows]


async def what_came_first_and_last(agent: Agent) -> object:
    ends = [await agent("read_stream", count=1, order=order) for order in ("oldest", "newest")]
    return [seen.rows[0].words for seen in ends]


async def show_all_of_one(agent: Agent) -> object:
    (row,) = (await agent("read_stream", event_id="Ev4", payload="whole")).rows
    assert row.payload is not None
    return len(row.payload["authorizations"])


async def look_where_nothing_is(agent: Agent) -> object:
    seen = await agent("read_stream", contains="no such words")
    return seen.rows == [] and "none of the 60" in seen.said


async def is_there_anything_new(agent: Agent) -> object:
    seen = await agent("read_stream", wait_seconds=0.1)
    return seen.rows == [] and "start=" in seen.said


# --- Dead letters --------------------------------------------------------------------------------------


async def what_failed_and_why(agent: Agent) -> object:
    return (await agent("count_events", by="reason")).counts


async def which_events_timed_out(agent: Agent) -> object:
    seen = await agent("read_stream", dead=True, order="oldest")
    return [row.words for row in seen.rows if "timed out" in (row.reason or "")]


async def redrive_one_kind(agent: Agent) -> object:
    would = await agent("redrive", reason="timed out")
    done = await agent("redrive", reason="timed out", dry_run=False, confirm=True)
    left = await agent("read_stream", dead=True)
    return "2" in would.said and "2" in done.said and len(left.rows)


# --- Work ----------------------------------------------------------------------------------------------


async def bury_one_poison_event(agent: Agent) -> object:
    taken = await agent("lease_events", group="workers", contains="poison")
    await agent("release", bury=True, reason="it kills the worker", confirm=True)
    seen = await agent("read_stream", event_id="Ev11")
    return len(taken.rows), seen.states["workers"]


async def nobody_else_lost_anything_by_that(agent: Agent) -> object:
    seen = await agent("read_stream", event_id="Ev7")
    return seen.states["workers"]


async def take_the_mentions_of_a_channel(agent: Agent) -> object:
    taken = await agent("lease_events", group="workers", event_type="app_mention", channel="C0CALM", count=2)
    return len(taken.rows)


async def what_do_i_hold(agent: Agent) -> object:
    return [row.holder for row in (await agent("read_stream", pending=True)).rows]


async def put_one_off_and_release_the_rest(agent: Agent) -> object:
    first, *_ = (await agent("read_stream", pending=True)).rows
    await agent("release", ids=[first.id], delay_seconds=3600, confirm=True)
    await agent("release")
    return len((await agent("read_stream", pending=True)).rows)


async def take_one_and_finish_it(agent: Agent) -> object:
    (row,) = (await agent("lease_events", group="workers", count=1)).rows
    await agent("ack", confirm=True)
    return (await agent("read_stream", event_id=row.id)).states["workers"]


async def begin_a_group_an_hour_ago(agent: Agent) -> object:
    taken = await agent("lease_events", group="agents", create_group=True, since="1h", count=2)
    await agent("ack")
    return len(taken.rows)


async def say_something_once(agent: Agent) -> object:
    for _ in range(2):
        await agent("publish_event", payload={"type": "reminder", "text": "water the plants"}, event_id="r-1")
    return len((await agent("read_stream", event_type="reminder")).rows)


BOTH = {"audit": "done", "workers": "held"}
TASKS: list[tuple[Task, object]] = [
    (
        what_is_wrong_and_where,
        {TOPIC: "working", "slack:ops": "unread", "slack:paused": "paused", "slack:quiet": "ok"},
    ),
    (which_stream_is_paused, ["slack:paused"]),
    (why_is_the_group_behind, True),
    (who_holds_what, ["worker-1"] * 3 + ["worker-2"]),
    (which_is_oldest_of_what_is_held, "hello 0"),
    (what_does_one_worker_hold, 3),
    (find_a_message_by_its_words, ["the quarterly report is wrong"]),
    (find_an_event_by_its_id, ["please deploy release 7"]),
    (was_it_handled, BOTH),
    (was_a_new_one_handled, BOTH | {"workers": "undelivered"}),
    (which_mentions_were_there_today, 12),
    (which_channel_is_loudest, ("C0LOUD", 40)),
    (who_writes_how_much, dict.fromkeys(("U0", "U1", "U2", "U3"), 15)),
    (how_much_came_in_each_hour, 60),
    (how_many_of_each_type_in_the_calm_channel, {"message": 16, "app_mention": 4}),
    (what_was_said_in_a_thread, 4),
    (what_did_somebody_say_where, [f"hello {number}" for number in (54, 42, 30, 18, 6)]),
    (what_came_first_and_last, ["hello 0", "hello 59"]),
    (show_all_of_one, 9),
    (look_where_nothing_is, True),
    (is_there_anything_new, True),
    (what_failed_and_why, {"timed out after # s": 2, "the field is not JSON": 1}),
    (which_events_timed_out, ["letter 0", "letter 1"]),
    (redrive_one_kind, 1),
    (bury_one_poison_event, (1, "buried")),
    (nobody_else_lost_anything_by_that, "waiting"),
    (take_the_mentions_of_a_channel, 2),
    (what_do_i_hold, ["you", "you"]),
    (put_one_off_and_release_the_rest, 0),
    (take_one_and_finish_it, "done"),
    (begin_a_group_an_hour_ago, 2),
    (say_something_once, 1),
]
"""In this order: each leaves the queue as the next expects it."""


async def solve(call: Call, reader: Reader) -> None:
    """Solve every task within few calls and few characters."""
    for task, answer in TASKS:
        agent = Agent(call, reader)
        found = await task(agent)
        name = task.__name__.replace("_", " ")
        assert found == answer, name
        print(f"{name}: {agent.calls} calls, {agent.chars:,} characters")  # noqa: T201
        assert agent.calls <= MOST_CALLS, name
        assert agent.chars <= MOST_CHARS, name
