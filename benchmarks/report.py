"""Tables of a run, for a terminal and for a document."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from benchmarks.contestants import LIMIT, OURS
from benchmarks.results import Results, Standing
from benchmarks.workloads.scaling import SCALES

RATES = {
    "publish-1": "publish, one by one",
    "publish-64": "publish, 64 at once",
    "publish-256": "publish, 256 at once",
    "publish-batch": "publish, batches of 100",
    "consume": "consume and ack",
}
"""Workloads in events per second."""


USUAL = "redis_naive"
"""What most would use: redis-py, with each call awaited."""
SAME = "The same on another server; the tables above are of the one on which abe-redis gains less."

TIMES = "\N{MULTIPLICATION SIGN}"
NOTHING = "\N{EM DASH}"

WAIT = (
    " Longest wait: how long a stream went without an event while all were busy, measured in rounds that "
    "serve each stream once."
)


@dataclass(frozen=True, slots=True)
class Table:
    """A title, a line about it, and cells."""

    title: str
    about: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: bool = False
    """Whether the cells are words, not numbers."""

    def markdown(self) -> str:
        """The table for a document."""
        rule = "|---" + ("|---" if self.words else "|---:") * (len(self.header) - 1) + "|"
        lines = [_row(self.header), rule, *map(_row, self.rows)]
        return f"## {self.title}\n\n{self.about}\n\n" + "\n".join(lines) + "\n"


def tables(results: Results) -> list[Table]:
    """Every table that the run has something for."""
    scales = (_scale(results, scale, title) for scale, title in SCALES.items())
    return [
        table
        for table in (_rates(results), _notes(results), _costs(results), _latency(results), *scales)
        if table.rows
    ]


PREFACE = """# Benchmarks

abe-redis, with every guarantee on, and its alternatives do the same work.

```
make bench ARGS="--table docs/benchmarks.md --chart docs/benchmarks"
```

takes about six minutes for each server and writes this page. It runs on Valkey and on the system's Redis,
and shows the worse of the two; `--runs 3` runs each several times, in turns. All contestants work on one
server in turns, each publisher and consumer in a process of its own, and encode the same Slack envelope from
a dict. Rates differ between machines, and by a fifth between two runs on one machine; ratios within a run
differ less.

![Events per second of abe-redis and others: 64 tasks publish; a consumer acks](benchmarks/light.svg)

The bottleneck is the Python client, not Redis. So abe-redis speaks to Redis through its own transport:
events that are published at the same time share one command, a consumer prefetches as far as its handler is
fast, and acks travel together.
"""

GROWTH = """## How it grows

- **Streams**: publishing does not depend on their number. One read serves many busy streams, and costs more
  per event the fewer it takes from each; no stream waits for more than two rounds.
- **Groups**: each group reads every event, so the cost of an event grows with their number; that of
  publishing does not.
- **Size**: below about 1 KB the number of events decides, above it the number of bytes: the cost is linear
  then.
- **Backlog**: flat, from a thousand waiting events to a million.
"""


def markdown(results: Results, *others: Results) -> str:
    """All tables, and under what circumstances they came about; of other servers, the rates."""
    shown = [table.markdown() for table in tables(results)]
    for other in others:
        rates = _rates(other)
        server = other.machine["server"]
        shown.append(replace(rates, title=f"{rates.title}, on {server}", about=SAME).markdown())
    return "\n".join([PREFACE, circumstances(results), *shown, GROWTH])


def worst_first(runs: list[Results]) -> list[Results]:
    """The runs in order, beginning with that of the server on which abe-redis gains least over redis-py."""

    def gain(results: Results) -> float:
        times = [results.times_faster(workload, USUAL) or 1 for workload in RATES]
        return math.prod(times)

    return sorted(runs, key=gain)


def circumstances(results: Results) -> str:
    """Machine, server and what they were told, in a few lines."""
    machine = results.machine
    loop = "uvloop" if results.plan["uvloop"] else "asyncio's own event loop"
    return (
        f"{machine['cpus']} {TIMES} {machine['cpu']} (load before: {machine['load_before']}), "
        f"{machine['system']}; Python {machine['python']}, {loop}; {machine['server']} over "
        f"{machine['transport']}, without persistence. Events of {results.plan['kilobytes']:g} KB of JSON; "
        f"medians of {results.plan['rounds']} interleaved rounds.\n"
    )


def _rates(results: Results) -> Table:
    def cell(workload: str, name: str) -> str:
        rate = results.median(workload, name, "rate")
        if rate is None:
            return "wrong" if results.wrong(workload, name) else NOTHING
        times = results.times_faster(workload, name)
        shown = f"{rate:,.0f}" if name == OURS or times is None else f"{rate:,.0f} ({times:.2f}{TIMES})"
        cpu, server = (results.median(workload, name, figure) for figure in ("cpu", "server_cpu"))
        return shown if cpu is None or server is None else f"{shown} {cpu * 100:.0f}+{server * 100:.0f}"

    table = Table(
        "Events per second",
        "In brackets: the rate of abe-redis divided by this one; above 1, abe-redis is faster. Behind it: "
        "microseconds of CPU per event, of the process and of the server. Then: what happens to the events "
        "of a consumer that died, and for how long an event is not added a second time.",
        ("", *RATES.values()),
        _rows(results, lambda one: [cell(workload, one.name) for workload in RATES], limit=True),
    )
    promises = {one.title: (one.crash, one.dedup) for one in results.standings}
    return replace(
        table,
        header=(*table.header, "after a crash", "dedup"),
        rows=tuple((*row, *promises[row[0]]) for row in table.rows),
    )


def _costs(results: Results) -> Table:
    columns = {
        "publish: CPU s": ("publish-64", "cpu", ".2f"),
        "publish: server CPU s": ("publish-64", "server_cpu", ".2f"),
        "publish: peak MB": ("publish-256", "memory", ".0f"),
        "consume: CPU s": ("consume", "cpu", ".2f"),
        "consume: server CPU s": ("consume", "server_cpu", ".2f"),
        "consume: peak MB": ("consume", "memory", ".0f"),
    }
    return Table(
        "What it costs",
        "CPU seconds per 10,000 events, of the process (64 at once, and consuming) and of the server; the "
        "most memory the process had.",
        ("", *columns),
        _rows(
            results,
            lambda one: [
                _number(results.median(workload, one.name, figure), form)
                for workload, figure, form in columns.values()
            ],
        ),
    )


def _latency(results: Results) -> Table:
    return Table(
        "From publish to handler",
        f"Milliseconds at {results.plan['rate']:g} events a second, between two processes. 'redis-py, as "
        "usual' is a plain XADD and a blocking XREADGROUP.",
        ("", "p50", "p95", "p99", "longest"),
        _rows(
            results,
            lambda one: [
                _number(results.median("latency", one.name, figure), ".2f")
                for figure in ("p50", "p95", "p99", "most")
            ],
        ),
    )


def _scale(results: Results, scale: str, title: str) -> Table:
    publish, consume = f"{scale}-publish", f"{scale}-consume"
    points = results.points(consume)
    scaled = [one for one in results.standings if results.of(consume, one.name, points[0])] if points else []

    def relative(workload: str, name: str, at: float) -> str:
        here, first = (results.median(workload, name, "rate", point) for point in (at, points[0]))
        return "wrong" if here is None or first is None else f"{here:,.0f} ({here / first:.2f})"

    def wait(at: float) -> tuple[str, ...]:
        value = results.median(consume, OURS, "longest_wait", at)
        return (_number(value, ".2f"),) if scale == "streams" else ()

    return Table(
        f"Scaling: {title}",
        "Events per second; in brackets that rate divided by the one of the first row."
        + (WAIT if scale == "streams" else ""),
        (
            title,
            *(f"{one.title}: {work}" for one in scaled for work in ("publish", "consume")),
            *(["abe-redis: longest wait"] if scale == "streams" else []),
        ),
        tuple(
            (
                f"{at:,.10g}",
                *(relative(work, one.name, at) for one in scaled for work in (publish, consume)),
                *wait(at),
            )
            for at in points
        ),
    )


def _notes(results: Results) -> Table:
    def problems(one: Standing) -> list[str]:
        if one.absent:
            return [f"Not measured: {one.absent}"]
        wrong: dict[str, dict[str, None]] = {}
        for turn in results.measurements:
            if turn.contestant == one.name and turn.wrong:
                wrong.setdefault(turn.wrong, {})[turn.workload] = None
        return [f"Wrong at {', '.join(workloads)}: {reason}" for reason, workloads in wrong.items()]

    return Table(
        "Who does what",
        "In which version, with which settings, and what each does less or more.",
        ("", "versions", "note"),
        tuple(
            (one.title, one.versions, " ".join([f"{one.note}.", *problems(one)])) for one in results.standings
        ),
        words=True,
    )


def _rows(
    results: Results, cells: Callable[[Standing], list[str]], *, limit: bool = False
) -> tuple[tuple[str, ...], ...]:
    """A row for everybody who has a figure, and for everybody who should."""
    rows = []
    for one in results.standings:
        row = cells(one)
        if one.absent and (limit or one.name != LIMIT):
            row = ["not measured", *[""] * (len(row) - 1)]
        if any(cell != NOTHING for cell in row):
            rows.append((one.title, *row))
    return tuple(rows)


def _number(value: float | None, form: str) -> str:
    return NOTHING if value is None else format(value, form)


def _row(cells: tuple[str, ...]) -> str:
    return "| " + " | ".join(cells) + " |"
