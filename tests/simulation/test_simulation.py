"""What the simulator itself promises: the same seed is the same story, and what fails becomes short."""

import asyncio
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.chaos.history import Violation
from tests.patience import PATIENCE
from tests.simulation import shrink as shrinking
from tests.simulation.__main__ import play_seeds, story
from tests.simulation.play import Outcome, play
from tests.simulation.schedule import SWARM_FAULTS, Schedule, Step, generate, swarm
from tests.simulation.world import World


def _told(outcome: Outcome) -> list[tuple[object, ...]]:
    return [tuple(record) for record in outcome.history.records]


@pytest.mark.parametrize("seed", [3, 17, 361])
def test_a_seed_is_always_the_same_story(seed: int) -> None:
    assert _told(play(generate(seed))) == _told(play(generate(seed)))


def test_a_seed_is_the_same_story_in_every_process_whatever_was_played_there_before() -> None:
    """Seed 13 cuts a connection in its first command, so that the engine thinks less of the server."""
    seeds = [13, 10, 183, 378]
    program = (
        "from tests.simulation.play import play\n"
        "from tests.simulation.schedule import generate\n"
        f"for seed in {seeds[::-1]}:\n"
        "    outcome = play(generate(seed))\n"
        "    print(seed, outcome.turns, outcome.commands, [tuple(one) for one in outcome.history.records])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONHASHSEED": "1"},  # this process has another
        capture_output=True,
        text=True,
        check=True,
    )
    here = [(seed, play(generate(seed))) for seed in seeds]
    told = [f"{seed} {outcome.turns} {outcome.commands} {_told(outcome)}" for seed, outcome in here]
    assert done.stdout.splitlines() == told[::-1]


def test_a_seed_is_the_same_story_wherever_things_lie_in_memory() -> None:
    """Seed 70000340 has tasks that are cancelled at once, by scopes of which anyio keeps a set."""
    in_the_way, stories = list[object](), set[str]()
    for count in range(8):
        stories.add(repr(_told(play(generate(70000340)))))
        in_the_way += [object() for _ in range(1000 * count + 17)]
    assert len(stories) == 1


def test_other_seeds_are_other_stories() -> None:
    assert len({story(play(generate(seed))) for seed in range(8)}) == 8


def test_peace_breaks_nothing_and_takes_no_time() -> None:
    steps = (
        Step(0, "start worker", "w0", 2.0, group="g"),
        Step(0, "start worker", "w1", 2.0, group="g"),
        Step(0.5, "publish", "slack:a", events=(0, 1, 2)),
    )
    outcome = play(Schedule(1, steps, failing=((1, 1),)))
    assert outcome.violations == []
    done = [record.event for record in outcome.history.records if record.what == "done"]
    assert sorted(done) == ["0", "1", "2"]
    assert 0.5 < outcome.seconds < 10


def test_a_suspended_machine_has_a_clock_that_stood_still_and_one_that_went_on() -> None:
    world = World(1)
    with world.inside():
        process = world.process("p")
        before = process.monotonic(), process.boottime()
        process.pause(5, "suspend")
        world.run(7)
        assert process.monotonic() - before[0] == pytest.approx(2)
        assert process.boottime() - before[1] == pytest.approx(7)


def test_a_machine_that_goes_on_early_has_clocks_that_stood_still_no_longer_than_it_did() -> None:
    world = World(0)
    process = world.process("one")
    before = process.monotonic(), process.boottime()
    process.pause(0.5, "suspend")
    process.pause(3, "stop machine")
    world.run(2)
    world.heal()
    assert process.monotonic() == before[0]
    assert process.boottime() == pytest.approx(before[1] + 0.5)
    world.run(3)
    assert process.monotonic() == pytest.approx(before[0] + 1)


def test_a_thread_that_somebody_left_keeps_the_real_clock() -> None:
    told = list[float]()
    with World(1).inside():
        thread = threading.Thread(target=lambda: told.append(time.monotonic()))
        thread.start()
        thread.join()
    assert told == [pytest.approx(time.monotonic(), abs=PATIENCE)]


def test_timers_of_a_stopped_process_ring_when_it_goes_on() -> None:
    world, rang = World(1), list[float]()
    with world.inside():
        process = world.process("p")

        async def wait() -> None:
            await asyncio.sleep(1)
            rang.append(world.now)

        process.spawn(wait(), "wait")
        world.run(0.5)
        process.pause(3, "pause")
        world.run(9)
    assert rang == [pytest.approx(3.5, abs=0.01)]


def test_a_process_that_is_killed_while_it_connects_does_nothing_more() -> None:
    world, connected = World(1), list[object]()
    with world.inside():
        process = world.process("p")

        async def connect() -> None:
            connected.append(await process.connect(asyncio.Protocol))

        process.spawn(connect(), "connect")
        world.run(0.00003)  # it has asked, and is not answered yet
        process.kill()
        world.run(1)
    assert connected == []


def test_shrinking_keeps_only_the_steps_that_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """A schedule that fails whenever a worker is killed needs nothing but that, and a worker."""

    def fails_with_a_kill(schedule: Schedule) -> Outcome:
        broken = any(step.what == "kill" for step in schedule.steps)
        found = [Violation("killed", "", "it was killed")] if broken else []
        return Outcome(schedule, found, 0, 0, 0, peace.history)

    peace = play(Schedule(1, (Step(0, "start worker", "w0", 2.0, group="g"),)))
    monkeypatch.setattr(shrinking, "play", fails_with_a_kill)
    seed = next(seed for seed in range(100) if any(step.what == "kill" for step in generate(seed).steps))
    short = shrinking.shrink(fails_with_a_kill(generate(seed))).schedule
    assert sorted(step.what for step in short.steps) == ["kill", "start worker"]
    assert (short.durations, short.failing, short.concurrency) == ((), (), 1)


def test_a_swarm_has_more_faults_of_fewer_kinds() -> None:
    kinds = [{step.what for step in swarm(seed).steps} & SWARM_FAULTS.keys() for seed in range(200)]
    assert set().union(*kinds) == SWARM_FAULTS.keys()
    assert max(map(len, kinds)) <= 4
    batch = play_seeds((6, 9), swarm)
    assert (batch.schedules, batch.failed) == (3, {})
    assert sum(batch.steps[what] for what in SWARM_FAULTS) >= 6


def test_a_frozen_server_does_later_what_it_was_told() -> None:
    steps = (
        Step(0.0, "start worker", "w0", 2.0, group="g"),
        Step(0.1, "freeze server", value=0.5),
        Step(0.2, "publish", "slack:a", events=(0,)),
        Step(1.0, "wait"),
    )
    outcome = play(Schedule(1, steps))
    (accepted,) = (record.at for record in outcome.history.records if record.what == "accepted")
    assert outcome.violations == []
    assert 0.6 < accepted < 0.8


def test_a_batch_counts_what_it_played() -> None:
    batch = play_seeds((0, 3))
    assert batch.schedules == 3
    assert batch.commands > 0
    assert batch.events == sum(len(step.events) for seed in range(3) for step in generate(seed).steps)
