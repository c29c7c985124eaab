"""Twenty things that people ask an agent about the queue: each takes few calls, and few characters.

A scripted agent makes the calls that a model would make from the tools' answers alone. What each task took is
printed with `pytest -s`.
"""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from tests.integration.agents import asking, server, size
from tests.integration.conftest import MakeBackend

MOST_CALLS, MOST_CHARS = 5, 45_000
DEAD = "dead:{slack_events}"

type Task = Callable[["Agent"], Awaitable[object]]


class Agent:
    """Asks the tools, and counts what that takes."""

    def __init__(self, backend: RedisMessageQueueBackend) -> None:
        self._ask = asking(server(backend))
        self.calls = 0
        self.chars = 0

    async def __call__(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        answer = await self._ask(tool, **arguments)
        self.calls += 1
        self.chars += size(answer) + len(json.dumps(arguments))
        structure: dict[str, Any] = answer.structuredContent
        return structure

    async def events(self, **arguments: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self("read_stream", count=100, **arguments))["events"]
        return found

    async def stream(self, name: str = "slack_events") -> dict[str, Any]:
        (found,) = (await self("stream_stats", stream=name))["streams"]
        return dict(found)


@pytest.fixture
async def agent(make_backend: MakeBackend, redis: Redis) -> Agent:
    """A queue with a history: three channels, two groups, what is held, what was given up on."""
    backend = make_backend()
    for number in range(30):
        kind = "app_mention" if number % 5 == 0 else "message"
        text = "please deploy release 7" if number in {4, 11} else f"hello {number}"
        event = {"type": kind, "channel": f"C{number % 3}", "user": f"U{number % 4}", "text": text}
        await backend.publish(
            "slack_events", {"type": "event_callback", "event_id": f"Ev{number}", "event": event}
        )
    for name in ("slack:ops", "slack:quiet"):
        await backend.publish(name, {"type": "message", "channel": "C9", "text": name})
    await redis.xgroup_create("slack_events", "workers", "0")
    await redis.xgroup_create("slack_events", "audit", "$")
    await redis.xgroup_create("slack:quiet", "workers", "$")
    await redis.xreadgroup("workers", "worker-1", {"slack_events": ">"}, count=3)
    for number, reason in enumerate(
        ["handler failed 5 times, last with Timeout", "the field 'data' is not JSON"]
    ):
        await redis.xadd(
            DEAD,
            {
                "data": json.dumps({"type": "message", "n": number}),
                "abe:reason": reason,
                "abe:group": "workers",
                "abe:id": f"1-{number}",
            },
        )
    return Agent(backend)


def text_of(event: dict[str, Any]) -> str:
    return str(event["payload"]["event"]["text"])


async def which_streams_are_there(agent: Agent) -> object:
    found = await agent("stream_stats")
    return sorted(one["stream"] for one in found["streams"])


async def what_is_wrong_at_all(agent: Agent) -> object:
    return (await agent("stream_stats"))["health"]


async def how_much_waits_for_the_workers(agent: Agent) -> object:
    groups = (await agent.stream())["groups"]
    return next((one["pending"], one["lag"]) for one in groups if one["name"] == "workers")


async def who_works_on_what(agent: Agent) -> object:
    found = await agent.events(group="workers", pending=True)
    return [one["consumer"] for one in found]


async def which_mentions_were_there(agent: Agent) -> object:
    return len(await agent.events(event_type="app_mention"))


async def what_was_said_in_a_channel(agent: Agent) -> object:
    return len(await agent.events(channel="C1"))


async def what_somebody_said_in_the_last_hour(agent: Agent) -> object:
    return len(await agent.events(user="U2", since="1h"))


async def what_is_about_deploys(agent: Agent) -> object:
    return len([one for one in await agent.events(order="oldest") if "deploy" in text_of(one)])


async def which_events_of_a_channel_have_nobody_on_them(agent: Agent) -> object:
    held = {one["id"] for one in await agent.events(group="workers", pending=True)}
    return len([one for one in await agent.events(channel="C1") if one["id"] not in held])


async def what_came_first_and_what_last(agent: Agent) -> object:
    first = await agent("read_stream", count=1, order="oldest")
    last = await agent("read_stream", count=1)
    return [text_of(one["events"][0]) for one in (first, last)]


async def why_is_nothing_moving_in_ops(agent: Agent) -> object:
    return (await agent.stream("slack:ops"))["health"]


async def what_failed_and_why(agent: Agent) -> object:
    return ["Timeout" in one["summary"] for one in await agent.events(stream=DEAD, order="oldest")]


async def what_would_be_redriven(agent: Agent) -> object:
    return (await agent("redrive", reason="timeout"))["redriven"]


async def redrive_what_timed_out(agent: Agent) -> object:
    await agent("redrive", reason="timeout")
    return (await agent("redrive", reason="timeout", dry_run=False, confirm=True))["left"]


async def take_one_and_finish_it(agent: Agent) -> object:
    (event,) = (await agent("read_stream", group="workers", count=1))["events"]
    done = await agent("ack", stream="slack_events", group="workers", ids=[event["id"]])
    return len(done["acked"])


async def finish_everything_about_deploys(agent: Agent) -> object:
    taken = await agent.events(group="workers")
    about = [one["id"] for one in taken if "deploy" in text_of(one)]
    others = [one["id"] for one in taken if one["id"] not in about]
    done = await agent("ack", stream="slack_events", group="workers", ids=about)
    back = await agent("release", stream="slack_events", group="workers", ids=others)
    return len(done["acked"]), len(back["released"])


async def put_one_off_until_tomorrow(agent: Agent) -> object:
    (event,) = (await agent("read_stream", group="workers", count=1))["events"]
    ids = [event["id"]]
    found = await agent("release", stream="slack_events", group="workers", ids=ids, delay_seconds=86_400)
    return len(found["released"])


async def give_up_on_one(agent: Agent) -> object:
    (event,) = (await agent("read_stream", group="workers", count=1))["events"]
    give_up = {"ids": [event["id"]], "bury": True, "reason": "spam", "confirm": True}
    await agent("release", stream="slack_events", group="workers", **give_up)
    return (await agent.stream())["dead_letters"]


async def tell_the_workers_something(agent: Agent) -> object:
    payload = {"type": "reminder", "text": "water the plants"}
    await agent("publish_event", payload=payload, event_id="plants")
    return (await agent("publish_event", payload=payload, event_id="plants"))["duplicate"]


async def start_a_group_of_its_own(agent: Agent) -> object:
    taken = await agent("read_stream", group="summaries", create_group=True, count=2)
    ids = [one["id"] for one in taken["events"]]
    return len((await agent("ack", stream="slack_events", group="summaries", ids=ids))["acked"])


TASKS: list[tuple[Task, object]] = [
    (which_streams_are_there, ["slack:ops", "slack:quiet", "slack_events"]),
    (what_is_wrong_at_all, {"working": 1, "unread": 1, "ok": 1}),
    (how_much_waits_for_the_workers, (3, 27)),
    (who_works_on_what, ["worker-1"] * 3),
    (which_mentions_were_there, 6),
    (what_was_said_in_a_channel, 10),
    (what_somebody_said_in_the_last_hour, 7),
    (what_is_about_deploys, 2),
    (which_events_of_a_channel_have_nobody_on_them, 9),
    (what_came_first_and_what_last, ["hello 0", "hello 29"]),
    (why_is_nothing_moving_in_ops, "unread"),
    (what_failed_and_why, [True, False]),
    (what_would_be_redriven, 1),
    (redrive_what_timed_out, 1),
    (take_one_and_finish_it, 1),
    (finish_everything_about_deploys, (2, 25)),
    (put_one_off_until_tomorrow, 1),
    (give_up_on_one, 3),
    (tell_the_workers_something, True),
    (start_a_group_of_its_own, 2),
]


@pytest.mark.parametrize(("task", "answer"), TASKS, ids=[task.__name__ for task, _ in TASKS])
async def test_a_task_takes_few_calls(agent: Agent, task: Task, answer: object) -> None:
    assert await task(agent) == answer
    print(f"{task.__name__.replace('_', ' ')}: {agent.calls} calls, {agent.chars:,} characters")  # noqa: T201
    assert agent.calls <= MOST_CALLS
    assert agent.chars <= MOST_CHARS


def test_all_twenty_tasks_are_listed() -> None:
    assert len(TASKS) == 20
