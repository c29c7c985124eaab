"""The sizing measures what it says, and its model says of a trial what was measured there."""

from pathlib import Path

import pytest

from benchmarks.sizing.model import EVENTS_PER_HOUR, Model
from benchmarks.sizing.report import BEGIN, END, Findings, markdown
from benchmarks.sizing.trial import Costs, Load, Memory, measure, measure_memory

MEMORY = Memory(entry=1000, remembered=200)
PAGE = (Path(__file__).parents[2] / "docs/scaling.md").read_text("utf-8")


def costs(per_second: float, cpu: float, *, workers: int = 4, waiting: float = 0) -> Costs:
    """A trial of ten seconds in which an event cost so many microseconds of everything.

    A worker that waits costs so many microseconds a second.
    """
    load = Load(1, workers, per_second, 10)
    seconds = (cpu * load.events + 10 * workers * waiting) / 1e6
    return Costs(
        load=load,
        seconds=10,
        server_cpu=(seconds / 2, seconds / 2),
        server_in=2000 * load.events,
        server_out=1000 * load.events,
        commands=load.events,
        connections=(3,),
        worker_cpu=seconds,
        publisher_cpu=seconds,
        worker_megabytes=50,
    )


def server_cpu(one: Costs) -> float:
    return sum(one.server_cpu)


def test_at_the_rates_of_its_trials_the_model_says_what_was_measured() -> None:
    trials = [costs(1000, 20), costs(10, 200), costs(100, 80)]
    model = Model(trials, [costs(0, 0)], MEMORY)
    for trial in trials:
        assert model.off(trial, server_cpu) == pytest.approx(1)
    assert model.per_event(1, server_cpu) == model.per_event(10, server_cpu)
    assert model.per_event(5000, server_cpu) == pytest.approx(20e-6), "not less than was ever measured"
    assert model.per_event(1000**0.5, server_cpu) == pytest.approx((200 * 80) ** 0.5 * 1e-6)


def test_workers_that_wait_are_counted_apart() -> None:
    idle = costs(0, 0, workers=2, waiting=500)
    model = Model([costs(100, 50, waiting=500)], [idle], MEMORY)
    assert model.per_event(100, server_cpu) == pytest.approx(50e-6)
    other = costs(100, 50, workers=8, waiting=500)
    assert model.off(other, server_cpu) == pytest.approx(1)


def test_the_needs_are_those_of_the_rate() -> None:
    needs = Model([costs(100, 100)], [costs(0, 0)], MEMORY).needs(12)
    assert needs.per_second == 100 == 12 * EVENTS_PER_HOUR / 3600
    assert needs.redis_cores == needs.worker_cores == pytest.approx(0.01)
    assert (needs.in_megabits, needs.out_megabits) == pytest.approx((1.6, 0.8))
    assert needs.day_gigabytes == pytest.approx(24 * needs.hour_gigabytes) == pytest.approx(1.728)
    assert needs.standstill_gigabytes == pytest.approx(0.36)
    assert needs.full_minutes == pytest.approx(16e6 / 100 / 60)


@pytest.mark.parametrize(
    "load",
    [
        Load(1, 2, per_second=100, seconds=1),
        Load(1, 1, per_second=0, seconds=0, backlog=300, ordered=True),
        Load(2, 1, per_second=100, seconds=1),
    ],
    ids=["paced", "backlog", "cluster"],
)
@pytest.mark.heavy
def test_a_trial_handles_every_event_once_and_says_what_it_cost(binary: Path, load: Load) -> None:
    found = measure(binary, load)
    assert found.load is load
    assert len(found.server_cpu) == len(found.connections) == load.primaries
    assert found.server_out > 1200 * load.events, "each event went to a worker"
    assert found.commands > load.events
    assert found.worker_cpu > 0
    text = markdown(Findings([found], [found], [found], [found], MEMORY, "a server"), [10, 1000])
    assert "| events/s | 83 | 8,333 |" in text


def test_memory_is_that_of_an_event(binary: Path) -> None:
    memory = measure_memory(binary, 2000)
    assert 1200 < memory.entry < 1500
    assert 100 < memory.remembered < 500


def test_the_page_has_its_marks_and_what_was_measured_between_them() -> None:
    before, _, rest = PAGE.partition(BEGIN)
    measured, _, after = rest.partition(END)
    assert before.startswith("# ")
    assert "| workspaces | 10 | 100 | 1,000 |" in measured
    section = measured.partition("### What an event costs")[2].partition("###")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in section.splitlines() if "|" in line]
    ratios = [float(row[at]) for row in rows[2:] for at in (4, 6) if row[at]]
    assert len(ratios) > 20
    assert all(0.65 < ratio < 1.35 for ratio in ratios), "as the page says"
    assert "between two thirds and four thirds" in after
