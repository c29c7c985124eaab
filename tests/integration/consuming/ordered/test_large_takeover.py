"""An ordered worker takes over much at once: it goes on renewing, and the work grows with the number only."""

import time
from collections import defaultdict
from collections.abc import Iterator

import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker
from abe_redis.consuming.held import Held
from abe_redis.consuming.ordered.conversation_queues import ConversationQueues
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from abe_redis.streams import owners
from tests.integration.conftest import MakeBackend
from tests.integration.consuming.foreign_hands import working
from tests.integration.worker.test_lost_answers import until_true

TOPIC, COUNT, CHANNELS = "slack_events", 600, 20


@pytest.mark.parametrize("how", ["replayed", "left-by-another"])
async def test_many_unfinished_events_are_taken_over_in_parts_and_in_order(
    make_backend: MakeBackend, redis: Redis, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    handled: dict[str, list[int]] = defaultdict(list)
    searches, parts = 0, list[int]()
    iterate, load = ConversationQueues.__iter__, owners.load

    def counted(queues: ConversationQueues) -> Iterator[Held]:
        nonlocal searches
        searches += 1
        return iterate(queues)

    async def noted(*arguments: object, **more: object) -> owners.Loaded | None:
        loaded = await load(*arguments, **more)  # type: ignore[arg-type]
        if loaded is not None and loaded.entries:
            parts.append(len(loaded.entries))
        return loaded

    async def handle(event: Event) -> None:
        handled[event["channel"]].append(event["n"])

    def are_handled(times: int) -> bool:
        return sum(len(numbers) for numbers in handled.values()) == times * COUNT

    backend = make_backend()
    events = [
        {"type": "message", "channel": f"C{number % CHANNELS}", "n": number // CHANNELS}
        for number in range(COUNT)
    ]
    await backend.publish_many(TOPIC, events)
    monkeypatch.setattr(owners, "_MOST_LOADED", 200)
    monkeypatch.setattr(owners, "load", noted)
    if how == "left-by-another":
        await redis.xgroup_create(TOPIC, "default", id="0")
        await redis.xreadgroup("default", "dead", {TOPIC: ">"}, count=COUNT)
    began = time.monotonic()
    async with working(EventWorker(backend, handle, ordered=True)):
        if how == "replayed":
            await until_true(lambda: are_handled(1))
            handled.clear()
            monkeypatch.setattr(ConversationQueues, "__iter__", counted)
            await Groups(Scope(backend)).replay(TOPIC, "default")
        else:
            monkeypatch.setattr(ConversationQueues, "__iter__", counted)
        await until_true(lambda: are_handled(1))
    per_channel = COUNT // CHANNELS
    assert dict(handled) == {f"C{at}": list(range(per_channel)) for at in range(CHANNELS)}
    assert max(parts) == 200
    assert sum(parts) == COUNT
    # In an entry's own name, nothing looks through all the others; each tick does so some times.
    assert searches < COUNT / 3 + 10 * (time.monotonic() - began)
