"""A run: rounds in which everybody has a turn at the same work, on one server."""

import os
import platform
import sys
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.arena import AbsentError, Arena
from benchmarks.contestants import LIMIT, Contestant
from benchmarks.course import Course, Step
from benchmarks.ledger import WrongError
from benchmarks.plan import Plan
from benchmarks.results import Measurement, Results, Standing
from benchmarks.workloads import WORKLOADS, courses, warm_up
from benchmarks.workloads.limit import PROGRAMS, find, limit, version

LIMIT_TIMES = 5
"""The server's own program is so fast that it gets so many times the events of the others."""

type Say = Callable[[str], None]


def run(
    plan: Plan,
    contestants: Sequence[Contestant],
    binary: Path,
    *,
    wanted: Collection[str] = WORKLOADS,
    uvloop: bool = False,
    say: Say = lambda _: None,
) -> Results:
    """Measure everybody at everything that is wanted."""
    with Arena(binary, uvloop=uvloop) as arena:
        results = Results(_machine(arena), asdict(plan) | {"uvloop": uvloop})
        say("Making environments, starting everybody's processes.")
        present = _present(arena, contestants, results)
        for contestant in present:
            _warm_up(arena, contestant, plan)
        for course in courses(plan, wanted):
            for number in range(course.rounds):
                say(f"{course.title}: round {number + 1} of {course.rounds}")
                # In every second round the other way about: nobody always comes after the same.
                for contestant in present[:: -1 if number % 2 else 1]:
                    _turn(arena, contestant, course, number, results)
        if "limit" in wanted:
            say("The server's own limit.")
            _limit(arena, plan, results)
        return results


def _present(arena: Arena, contestants: Sequence[Contestant], results: Results) -> list[Contestant]:
    """Those whose processes start; why the others do not is in the results."""

    def about(contestant: Contestant) -> dict[str, Any] | AbsentError:
        try:
            arena.consumer(contestant)
            return arena.publisher(contestant).about
        except AbsentError as error:
            return error

    with ThreadPoolExecutor(os.cpu_count()) as threads:
        found = list(threads.map(about, contestants))
    present = []
    for contestant, what in zip(contestants, found, strict=True):
        standing = Standing(
            contestant.name, contestant.title, contestant.crash, contestant.dedup, contestant.note
        )
        if isinstance(what, AbsentError):
            standing.absent = str(what)
        else:
            standing.about = what
            present.append(contestant)
        results.standings.append(standing)
    return present


def _warm_up(arena: Arena, contestant: Contestant, plan: Plan) -> None:
    arena.fresh()
    try:
        warm_up(arena, contestant, plan)
    except WrongError:
        arena.end(contestant)  # why, its first turn tells


def _turn(arena: Arena, contestant: Contestant, course: Course, number: int, results: Results) -> None:
    """Take a course's steps; one that goes wrong ends the turn, and its processes."""

    def record(step: Step, figures: dict[str, float], wrong: str | None = None) -> None:
        if step.is_for(contestant):
            results.measurements.append(
                Measurement(step.workload, contestant.name, number, figures, course.at, wrong)
            )

    if not course.is_for(contestant):
        return
    arena.fresh()
    for place, step in enumerate(course.steps):
        try:
            figures = step.do(arena, contestant)
        except (WrongError, AbsentError) as error:
            arena.end(contestant)
            for missed in course.steps[place:]:
                record(missed, {}, str(error))
            return
        if figures:
            record(step, figures)


def _limit(arena: Arena, plan: Plan, results: Results) -> None:
    standing = Standing(
        LIMIT,
        "the server alone",
        crash="",
        dedup="",
        note="its own benchmark program, in C: sends the bytes, reads with NOACK",
    )
    results.standings.append(standing)
    program = find()
    if program is None:
        standing.absent = f"Neither {' nor '.join(PROGRAMS)} is installed."
        return
    standing.about = {"versions": version(program)}
    try:
        for workload, figures in limit(
            arena, program, count=LIMIT_TIMES * plan.at_once, kilobytes=plan.kilobytes
        ).items():
            results.measurements.append(Measurement(workload, LIMIT, 0, figures))
    except WrongError as error:
        standing.absent = str(error)


def _machine(arena: Arena) -> dict[str, Any]:
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load_before": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": sys.version.split()[0],
        "server": arena.server_version(),
        "persistence": "none",
        "transport": "TCP on 127.0.0.1",
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown"
    )
