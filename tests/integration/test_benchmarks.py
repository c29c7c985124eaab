"""The benchmarks measure what they say: whoever does not do the work has no figure, but a reason."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from benchmarks import chart, report
from benchmarks.contestants import CONTESTANTS, OURS, Contestant
from benchmarks.plan import Plan
from benchmarks.results import Results, to_json
from benchmarks.run import run
from benchmarks.workloads import WORKLOADS
from benchmarks.workloads.consume import longest_wait
from tests.patience import PATIENCE
from tests.server_binaries import any_binary

pytestmark = pytest.mark.heavy

TINY = Plan(
    rounds=2,
    one_by_one=20,
    at_once=100,
    consume=200,
    batched=100,
    paced=20,
    latency_rounds=1,
    scale_events=100,
    scale_rounds=1,
    streams=(1, 5),
    groups=(1, 3),
    sizes=(0.2, 10),
    backlogs=(100, 2000),
    patience=20,
)
# Whoever is wrong is waited for.
HASTY = replace(TINY, rounds=1, patience=1)
PATIENT = replace(HASTY, patience=PATIENCE)

NAMED = {one.name: one for one in CONTESTANTS}
NAIVE = NAMED["redis_naive"]
RATES = ("publish-1", "publish-64", "publish-256", "consume")

LIAR = """
from contextlib import asynccontextmanager

from benchmarks.payload import number_of
from benchmarks.peers import redis_naive
from benchmarks.side import Side, serve

calls = 0

def every_tenth():
    global calls
    calls += 1
    return calls % 10 == 0

@asynccontextmanager
async def forgetful_publisher(work):
    async with redis_naive.publisher(work) as publish:
        async def sometimes(payload):
            if not every_tenth():
                await publish(payload)
        yield sometimes

@asynccontextmanager
async def forgetful_consumer(work, handle):
    async with redis_naive.consumer(work, lambda event: None if every_tenth() else handle(event)):
        yield

@asynccontextmanager
async def stuttering_consumer(work, handle):
    last = None
    def again(event):
        # As many calls as there are events, but not of all events.
        nonlocal last
        last = event if last is None or not every_tenth() else last
        handle(last)
    async with redis_naive.consumer(work, again):
        yield

@asynccontextmanager
async def reckless_consumer(work, handle):
    async def nothing(*arguments):
        pass
    redis_naive.Redis.xack = nothing
    async with redis_naive.consumer(work, handle):
        yield

@asynccontextmanager
async def failing_publisher(work):
    async def fail(payload):
        raise OSError("the cable was cut")
    yield fail

"""


def measure(plan: Plan, contestants: Sequence[Contestant], wanted: Sequence[str]) -> Results:
    binary = any_binary()
    if binary is None:
        pytest.skip("there is no server to measure with")
    return run(plan, contestants, binary, wanted=wanted)


@pytest.fixture(scope="module")
def results() -> Results:
    return measure(TINY, [NAMED[OURS], NAMED["ours_worker"], NAIVE], WORKLOADS)


def test_everybody_does_the_work(results: Results) -> None:
    assert [one.wrong for one in results.measurements if one.wrong] == []
    for name in (OURS, "redis_naive"):
        for workload in RATES:
            assert len(results.of(workload, name)) == TINY.rounds
            for figure in ("rate", "seconds", "cpu", "memory"):
                assert (results.median(workload, name, figure) or 0) > 0
        assert (
            0 < (results.median("latency", name, "p50") or 0) <= (results.median("latency", name, "p99") or 0)
        )
    ours, theirs = (results.median("consume", name, "rate") for name in (OURS, "redis_naive"))
    assert ours
    assert theirs
    assert results.times_faster("consume", "redis_naive") == ours / theirs
    assert results.times_faster("consume", OURS) == 1


def test_each_takes_part_in_its_own_workloads_only(results: Results) -> None:
    worked = {one.workload for one in results.measurements if one.contestant == "ours_worker"}
    assert worked == {"consume", "latency"}
    assert results.of("publish-batch", "redis_naive") == []


@pytest.mark.parametrize(
    ("scale", "points"),
    [("streams", [1, 5]), ("groups", [1, 3]), ("sizes", [0.2, 10]), ("backlogs", [100, 2000])],
)
def test_scales_have_their_points(results: Results, scale: str, points: list[float]) -> None:
    for work in ("publish", "consume"):
        assert results.points(f"{scale}-{work}") == points
        for at in points:
            assert (results.median(f"{scale}-{work}", OURS, "rate", at) or 0) > 0


def test_json_has_everything(results: Results) -> None:
    read = json.loads(results.to_json())
    assert read["machine"].keys() >= {"cpu", "cpus", "load_before", "python", "server", "persistence"}
    assert read["plan"]["one_by_one"] == TINY.one_by_one
    ours = read["standings"][0]
    assert (ours["name"], ours["absent"]) == (OURS, None)
    assert ours["about"]["versions"].keys() == {"abe-redis", "redis", "hiredis"}
    assert len(read["measurements"]) == len(results.measurements)
    medians = {(one["workload"], one["contestant"], one["at"]): one for one in read["medians"]}
    assert medians["consume", OURS, None]["rate"] == results.median("consume", OURS, "rate")


def test_charts_are_drawings_of_the_figures(results: Results, tmp_path: Path) -> None:
    files = chart.write(results, tmp_path / "charts")
    assert [file.name for file in files] == ["light.svg", "dark.svg"]
    for file in files:
        drawing = ET.fromstring(file.read_text("utf-8"))  # noqa: S314 - we wrote it
        texts = [text.text for text in drawing.iter("{http://www.w3.org/2000/svg}text")]
        assert f"{results.median('consume', 'redis_naive', 'rate'):,.0f}" in texts
        assert drawing.get("width") == "800"


def test_tables_have_a_row_for_everybody(results: Results) -> None:
    rates, notes, *_ = report.tables(results)
    assert [row[0] for row in rates.rows[:3]] == ["abe-redis", "abe-redis EventWorker", "redis-py, as usual"]
    assert {len(row) for row in rates.rows} == {len(rates.header)}
    assert NAIVE.note in notes.rows[2][-1]
    assert "| redis-py, as usual |" in report.markdown(results)


def test_a_page_shows_the_worse_server_and_the_rates_of_the_other(results: Results) -> None:
    better = replace(
        results,
        machine=results.machine | {"server": "Another 1.0"},
        measurements=[
            replace(one, figures=one.figures | {"rate": one.figures.get("rate", 0) * 2})
            if one.contestant == OURS
            else one
            for one in results.measurements
        ],
    )
    assert report.worst_first([better, results]) == [results, better]
    page = report.markdown(results, better)
    assert page.count("## Events per second") == 2
    assert "## Events per second, on Another 1.0" in page
    both = json.loads(to_json([results, better]))
    assert [one["machine"]["server"] for one in both][1] == "Another 1.0"


def test_runs_on_one_server_are_rounds_of_one(results: Results) -> None:
    twice = replace(results, measurements=list(results.measurements))
    twice.add(results)
    rounds = [one.round for one in twice.of("publish-1", OURS)]
    assert rounds == list(range(2 * TINY.rounds))
    assert twice.median("publish-1", OURS, "rate") == results.median("publish-1", OURS, "rate")


@pytest.mark.parametrize(
    ("side", "workload", "plan", "reason"),
    [
        ("forgetful_publisher, redis_naive.consumer", "publish-64", PATIENT, r"but 1\d\d are in the server"),
        ("redis_naive.publisher, forgetful_consumer", "consume", HASTY, r"handled \d+ of 456 events"),
        ("redis_naive.publisher, stuttering_consumer", "consume", PATIENT, r"handled 456 events, 4\d\d of"),
        ("redis_naive.publisher, reckless_consumer", "consume", HASTY, r"of 456|456 .* never acknowledged"),
        ("failing_publisher, redis_naive.consumer", "publish-64", PATIENT, "OSError: the cable was cut"),
    ],
    ids=["forgets to publish", "forgets events", "handles some twice", "acks nothing", "fails"],
)
def test_a_contestant_that_skips_work_is_reported(
    tmp_path: Path, side: str, workload: str, plan: Plan, reason: str
) -> None:
    program = tmp_path / "liar.py"
    program.write_text(LIAR + f"serve(Side({side}))\n", "utf-8")
    liar = replace(NAIVE, name="liar", title="liar", program=(str(program),))
    results = measure(plan, [liar], [workload.partition("-")[0]])
    said = results.wrong(workload, "liar")
    assert said is not None
    assert re.search(reason, said)
    assert results.median(workload, "liar", "rate") is None
    rates, notes, *_ = report.tables(results)
    assert "wrong" in rates.rows[0]
    assert said in notes.rows[0][-1]


def test_a_contestant_that_cannot_start_is_reported(tmp_path: Path) -> None:
    absent = replace(NAIVE, name="absent", title="absent", program=("-c", "import no_such_library"))
    results = measure(HASTY, [absent, NAIVE], ["publish"])
    (standing, _) = results.standings
    assert standing.absent is not None
    assert "no_such_library" in standing.absent
    assert results.of("publish-1", "absent") == []
    rates, *_ = report.tables(results)
    assert rates.rows[0][:2] == ("absent", "not measured")


def test_a_stream_that_starves_waits_long() -> None:
    assert longest_wait([0, 1, 2] * 20, 3) == 1
    assert longest_wait([0, 0, 1, 1, 2, 2] * 20, 3) == 1
    assert longest_wait([0, 1] * 20 + [2] * 20, 3) > 10
