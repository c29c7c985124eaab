"""A worker that has nothing else to do retries an event when it is due, by the simulated clock."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Retry
from abe_redis.consuming import reclaims
from abe_redis.consuming.due_times import LONGEST_SECONDS, STEP_SECONDS
from abe_redis.streams.reclaim import reclaim
from tests.simulation.actors import settings_for
from tests.simulation.process import Process
from tests.simulation.world import World

STREAM = "slack:a"
ON_THE_WAY_SECONDS = 0.03
"""How long commands and answers are on their way, all that one retry needs."""


def _payload(number: int) -> dict[str, Any]:
    event = {"type": "message", "channel": f"C{number}", "n": number}
    return {"type": "event_callback", "event_id": f"Ev{number}", "event": event}


@dataclass
class Scene:
    """A world with one stream, and when its events began."""

    world: World
    began: dict[int, list[float]] = field(default_factory=dict)
    delays: dict[int, float] = field(default_factory=dict)
    """By event, the delay before its retries; others succeed."""
    seconds: float = 0.001
    """How long a handler takes."""

    def worker(self, name: str = "w", *, counts: bool = True, deliveries: int = 6, **options: Any) -> Process:
        """Start a process with a worker."""
        process = self.world.process(name)

        async def handle(event: Event) -> None:
            number = event["event"]["n"]
            self.began.setdefault(number, []).append(self.world.now)
            await asyncio.sleep(self.seconds)
            if number in self.delays:
                raise ValueError(number)

        def decide(event: Event, _: Exception) -> Retry:
            return Retry(self.delays[event["event"]["n"]], counts=counts)

        async def work(worker: EventWorker, backend: RedisMessageQueueBackend) -> None:
            async with backend:
                await worker.run(handle)

        with self.world.as_process(process):
            backend = RedisMessageQueueBackend(settings_for(30.0, deliveries, 1000))
            worker = EventWorker(backend, policy=decide, **options)
        process.spawn(work(worker, backend), name)
        return process

    def publish(self, *numbers: int) -> None:
        """Publish events from another process."""
        process = self.world.process("host")

        async def publish() -> None:
            async with RedisMessageQueueBackend(settings_for(30.0, 6, 1000)) as backend:
                for number in numbers:
                    await backend.publish(STREAM, _payload(number))

        with self.world.as_process(process):
            process.spawn(publish(), "host")

    def run(self, seconds: float) -> int:
        """Let time pass; the number of commands that the server executed in it."""
        before = self.world.server.commands
        self.world.run(self.world.now + seconds)
        return self.world.server.commands - before


@contextmanager
def scene() -> Iterator[Scene]:
    world = World(1)
    with world.inside():
        yield Scene(world)


def gaps(times: list[float]) -> list[float]:
    return [after - before for before, after in pairwise(times)]


@pytest.mark.promise("No event comes early.")
@pytest.mark.promise("The worker at which the handler failed looks for the event when it is due")
@pytest.mark.parametrize("ordered", [False, True], ids=["any order", "ordered"])
@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("delay", [0, 0.01, 0.05, 0.5, 2.0])
def test_an_event_is_retried_when_it_is_due(ordered: bool, concurrency: int, delay: float) -> None:
    with scene() as at:
        at.delays[0] = delay
        at.worker(ordered=ordered, concurrency=concurrency)
        at.run(3)
        at.publish(0)
        at.run(2 + 6 * (delay + 0.2))
    assert len(at.began[0]) == 6
    latest = delay * 1.001 + STEP_SECONDS + at.seconds + ON_THE_WAY_SECONDS
    assert all(delay <= gap < latest for gap in gaps(at.began[0])), gaps(at.began[0])


@pytest.mark.parametrize("ordered", [False, True], ids=["any order", "ordered"])
def test_so_it_is_while_another_handler_is_at_work_and_the_other_tasks_wait(ordered: bool) -> None:
    """They wait in a read that has begun before the event failed."""
    with scene() as at:
        at.delays[0], at.seconds = 0.3, 0.25
        at.worker(ordered=ordered, concurrency=4)
        at.run(3)
        at.publish(1, 0)
        at.run(6)
    assert len(at.began[0]) == 6
    assert all(0.55 <= gap < 0.7 for gap in gaps(at.began[0])), gaps(at.began[0])


def test_so_it_is_with_one_delivery_where_a_read_waits_without_taking_anything() -> None:
    with scene() as at:
        at.delays[0] = 0.3
        at.worker(counts=False, deliveries=1)
        at.run(3)
        at.publish(0)
        at.run(2)
    assert len(at.began[0]) > 4
    assert all(0.3 <= gap < 0.4 for gap in gaps(at.began[0])), gaps(at.began[0])


def test_an_event_that_could_not_be_given_back_at_once_comes_when_it_is_due() -> None:
    with scene() as at:
        at.delays[0], at.seconds = 5.0, 0.5
        at.worker()
        at.run(3)
        at.publish(0)
        at.run(0.2)
        at.world.restart_server(1.0)  # the handler fails in the meantime
        at.run(10)
    first, second = at.began[0][:2]
    assert 5.5 <= second - first < 5.6


@pytest.mark.promise("a worker in any order finds it up to 2.5 seconds late.")
def test_what_others_have_postponed_comes_within_two_rounds() -> None:
    with scene() as at:
        at.delays[0] = 0.5
        first = at.worker("first")
        at.run(3)
        at.publish(0)
        at.run(0.3)
        first.kill()
        at.worker("second")
        at.run(4)
    assert 0.5 <= gaps(at.began[0])[0] < 3


def test_events_that_are_due_together_do_not_wait_for_each_other() -> None:
    with scene() as at:
        at.delays, at.seconds = dict.fromkeys(range(10), 2.0), 1.0
        at.worker(concurrency=10)
        at.run(3)
        at.publish(*range(10))
        at.run(5)
    seconds = [times[1] for times in at.began.values()]
    assert len(seconds) == 10
    assert max(seconds) - min(seconds) < 4 * STEP_SECONDS


def test_the_longest_delay_that_is_kept_in_mind_ends_in_time_and_costs_nothing_meanwhile() -> None:
    commands = dict[float, int]()
    for delay in (LONGEST_SECONDS, LONGEST_SECONDS + 1):
        with scene() as at:
            at.delays[0] = delay
            at.worker(deliveries=2)
            at.run(3)
            at.publish(0)
            at.run(5)
            commands[delay] = at.run(20)
            at.run(50)
        (gap,) = gaps(at.began[0])
        assert delay <= gap < delay + 2.5
        if delay == LONGEST_SECONDS:
            assert gap < delay * 1.001 + STEP_SECONDS + ON_THE_WAY_SECONDS
    # Not one look more than if nothing were kept in mind: two ticks may be a turn of the world apart.
    assert abs(commands[LONGEST_SECONDS] - commands[LONGEST_SECONDS + 1]) < 20 / STEP_SECONDS / 4, commands


def test_many_postponed_events_are_looked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    looks, found = [0], [0]

    async def counted(*args: Any, **options: Any) -> Any:
        answer = await reclaim(*args, **options)
        looks[0] += 1
        found[0] += bool(answer[0])
        return answer

    monkeypatch.setattr(reclaims, "reclaim", counted)
    with scene() as at:
        at.delays = {number: 1 + number / 400 for number in range(200)}
        at.worker(concurrency=8)
        at.run(3)
        at.publish(*range(200))
        at.run(20)
        assert len(at.began) == 200
        assert {len(times) for times in at.began.values()} == {6}
    assert looks[0] < 25 / STEP_SECONDS + found[0]
    assert found[0] < 5 * 200, "one look takes more than one event"
