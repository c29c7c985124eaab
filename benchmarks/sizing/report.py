"""The tables of docs/scaling.md, between its two marks."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.sizing.model import Model, Needs
from benchmarks.sizing.trial import PARTITIONS, Costs, Memory

BEGIN, END = "<!-- measured: make sizing -->\n", "<!-- end of what was measured -->\n"

_EVENT = (
    "Microseconds of CPU, and bytes, per event; `model` is what the model says, divided by what was "
    "measured. The trials that it was made from come first, and have none."
)


@dataclass(frozen=True, slots=True)
class Findings:
    """All that was measured."""

    idle: Sequence[Costs]
    calibration: Sequence[Costs]
    """One primary and four workers, at several rates."""
    others: Sequence[Costs]
    backlog: Sequence[Costs]
    memory: Memory
    server: str
    """Which server, in which version."""


def markdown(findings: Findings, workspaces: Sequence[int]) -> str:
    """Everything as Markdown."""
    model = Model(findings.calibration, findings.idle, findings.memory)
    machine = f"{os.cpu_count()} CPUs, {platform.machine()}, Python {platform.python_version()}"
    where = (
        f"{findings.server} on {machine}; {PARTITIONS} partitions, two publishers, handlers that do nothing, "
        "without persistence and replicas; every process on one machine."
    )
    memory = (
        f"An event of 1.2 KB takes {findings.memory.entry:,.0f} bytes in its stream, and "
        f"{findings.memory.remembered:,.0f} for its remembered `event_id`."
    )
    parts = [
        where,
        "### What 10, 100 and 1,000 workspaces need",
        _table(
            ["workspaces", *(f"{count:,}" for count in workspaces)],
            _needs([model.needs(count) for count in workspaces]),
        ),
        "### What an event costs",
        _EVENT,
        _table(
            [
                "primaries",
                "workers",
                "events/s",
                "Redis µs",
                "model",
                "worker µs",
                "model",
                "publisher µs",
                "bytes in",
                "bytes out",
                "commands",
                "connections",
            ],
            [
                *(_costs(one, None) for one in findings.calibration),
                *(_costs(one, model) for one in findings.others),
            ],
        ),
        "### A backlog",
        "How fast it is worked off by workers that start beside it, and what an event costs then.",
        _table(
            ["primaries", "workers", "events/s", "Redis µs", "worker µs"],
            [_backlog(one) for one in findings.backlog],
        ),
        "### Nothing to do",
        "What workers cost that wait.",
        _table(
            [
                "primaries",
                "workers",
                "commands/s",
                "Redis, of a core",
                "all workers, of a core",
                "connections",
            ],
            [_idle(one) for one in findings.idle],
        ),
        "### Memory",
        memory,
    ]
    return "\n\n".join(parts) + "\n"


def _needs(all_needs: Sequence[Needs]) -> list[list[str]]:
    rows: list[tuple[str, str, str]] = [
        ("events/s", "per_second", ",.0f"),
        ("Redis, cores", "redis_cores", ".2f"),
        ("workers without the handlers, cores", "worker_cores", ".2f"),
        ("publishing, cores", "publisher_cores", ".2f"),
        ("into Redis, Mbit/s", "in_megabits", ".1f"),
        ("out of Redis, Mbit/s", "out_megabits", ".1f"),
        ("remembered ids of a day (the default), GB", "day_gigabytes", ",.2f"),
        ("remembered ids of an hour, GB", "hour_gigabytes", ",.2f"),
        ("history, GB", "history_gigabytes", ",.2f"),
        ("an hour in which nothing is handled, GB", "standstill_gigabytes", ",.2f"),
        ("minutes until the streams are full", "full_minutes", ",.0f"),
    ]
    return [[name, *(format(getattr(needs, field), how) for needs in all_needs)] for name, field, how in rows]


def _costs(one: Costs, model: Model | None) -> list[str]:
    def each(value: float) -> str:
        return f"{value / one.load.events * 1e6:,.0f}"

    def off(ratio: float) -> str:
        return f"{ratio:.2f}"

    return [
        _primaries(one),
        f"{one.load.workers}{' ordered' if one.load.ordered else ''}",
        f"{one.load.per_second:,.0f}",
        each(sum(one.server_cpu)),
        off(model.off(one, lambda trial: sum(trial.server_cpu))) if model else "",
        each(one.worker_cpu),
        off(model.off(one, lambda trial: trial.worker_cpu)) if model else "",
        each(one.publisher_cpu),
        f"{one.server_in / one.load.events:,.0f}",
        f"{one.server_out / one.load.events:,.0f}",
        f"{one.commands / one.load.events:.1f}",
        " + ".join(map(str, one.connections)),
    ]


def _backlog(one: Costs) -> list[str]:
    return [
        _primaries(one),
        str(one.load.workers),
        f"{one.load.events / one.seconds:,.0f}",
        f"{sum(one.server_cpu) / one.load.events * 1e6:,.0f}",
        f"{one.worker_cpu / one.load.events * 1e6:,.0f}",
    ]


def _idle(one: Costs) -> list[str]:
    return [
        _primaries(one),
        str(one.load.workers),
        f"{one.commands / one.seconds:,.0f}",
        f"{sum(one.server_cpu) / one.seconds:.1%}",
        f"{one.worker_cpu / one.seconds:.1%}",
        " + ".join(map(str, one.connections)),
    ]


def _primaries(one: Costs) -> str:
    return str(one.load.primaries) if one.load.primaries > 1 else "1, no cluster"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
