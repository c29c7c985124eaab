"""The screen: a table of streams, or one stream with its groups and consumers.

Drawn anew for each size of the terminal; no colour carries a meaning alone.
"""

import textwrap

from rich.console import Group, RenderableType
from rich.text import Text

from abe_redis.cli.top.columns import COLUMNS, SORTS
from abe_redis.cli.top.figures import ago, counted, duration, lag, number, pending, rate, total
from abe_redis.cli.top.name_table import Figures, table
from abe_redis.cli.top.state import State
from abe_redis.sanitize.untrusted import line
from abe_redis.schemas import ConsumerStats, GroupStats, Health, StreamStats

_COLOURS: dict[Health, str] = {
    "stalled": "bold red",
    "unread": "yellow",
    "backlog": "yellow",
    "paused": "magenta",
    "dead_letters": "yellow",
    "working": "cyan",
    "ok": "green",
}
_KEYS = "↑↓ choose   ⏎ open   s sort   r reverse   space pause   q quit"
_KEYS_INSIDE = "esc back   space pause   q quit"
_AROUND = 4
"""Lines that are neither rows nor the head: the headings, the keys, and the empty lines between."""
_MOST_TROUBLE = 4
"""Lines for an error; with fewer, 80 columns would not hold it."""


def draw(state: State, width: int, height: int) -> RenderableType:
    """The whole screen.

    Args:
        state: The state to show.
        width: Columns of the terminal.
        height: Lines of the terminal.
    """
    chosen = state.current()
    head = _head(state, width)
    rows = height - len(head) - _AROUND
    body = _inside(state, chosen, width) if state.inside and chosen else _table(state, width, rows)
    order = f"by {SORTS[state.sort][0]}{', reversed' if state.reverse else ''}"
    keys = _KEYS_INSIDE if state.inside else f"{_KEYS}   {order}"
    return Group(*head, Text(""), body, Text(""), _line(keys, width, "dim"))


def _head(state: State, width: int) -> list[Text]:
    pace = "paused" if state.paused else f"every {state.every_seconds:g} s"
    when = f"{state.at:%H:%M:%S} UTC" if state.at else "loading …"
    lines = [_line(f"abe-redis top   {_name(state.where)}   {when}   {pace}", width, "bold")]
    if state.trouble:
        since = f" The table shows the state of {state.at:%H:%M:%S} UTC." if state.at else ""
        return [*lines, *_trouble(_name(state.trouble) + since, width)]
    if state.at is None:  # nothing is known yet, not even that there is nothing
        return [*lines, _line("", width, "")]
    lags = [lag(one) for one in state.streams]
    groups = [(one, group) for one in state.streams for group in one.groups]
    facts = (
        f"{counted(len(state.streams), 'stream')}",
        f"in {rate(total([state.rates.added(one) for one in state.streams]))}/s",
        f"done {rate(total([state.rates.finished(*one) for one in groups]))}/s",
        f"pending {number(sum(pending(one) for one in state.streams))}",
        f"lag {number(None if None in lags else sum(lag or 0 for lag in lags))}",
        f"dead {number(sum(one.dead_letters for one in state.streams))}",
    )
    problems = [one for problem in state.problems for one in _trouble(_name(problem), width)]
    return [*lines, _line("   ".join(facts), width, ""), *problems[:_MOST_TROUBLE]]


def _trouble(sentence: str, width: int) -> list[Text]:
    told = textwrap.wrap(sentence, width, max_lines=_MOST_TROUBLE, placeholder=" …")
    return [_line(one, width, "bold red") for one in told]


def _table(state: State, width: int, rows: int) -> RenderableType:
    if not state.streams:
        return Text("" if state.at is None else "No stream exists yet: nothing was published.")
    streams, current = state.sorted(), state.current()
    at = streams.index(current) if current else 0
    first = max(0, min(at - rows // 2, len(streams) - rows))
    health = {("HEALTH", row): _COLOURS[one.health] for row, one in enumerate(streams)}
    return table(
        "  STREAM",
        [f"{'> ' if one is current else '  '}{_name(one.stream)}" for one in streams],
        [
            Figures(name, [cell(state.rates, one) for one in streams], rank, left=name == "HEALTH")
            for name, rank, cell in COLUMNS
        ],
        width=width,
        rows=range(first, min(first + max(1, rows), len(streams))),
        styles=health,
        marked=lambda row: streams[row] is current,
    )


def _inside(state: State, one: StreamStats, width: int) -> RenderableType:
    newest = f"newest {one.last_at:%Y-%m-%d %H:%M:%S} UTC" if one.last_at else "empty"
    facts = [counted(one.length, "entry", "entries"), newest, counted(one.dead_letters, "dead letter")]
    if one.memory_bytes is not None:
        facts.append(f"{one.memory_bytes / 1000:,.0f} kB")
    parts: list[RenderableType] = [
        Text.assemble(
            (_name(one.stream), "bold"), "   ", (one.health.replace("_", " "), _COLOURS[one.health])
        ),
        Text("   ".join(facts)),
        *(Text(_name(line)) for line in one.advice.splitlines()),
    ]
    for group in one.groups:
        parts += [Text(""), *_group(state, one, group, width)]
    return Group(*parts)


def _group(state: State, one: StreamStats, group: GroupStats, width: int) -> list[RenderableType]:
    facts = (
        f"done {rate(state.rates.finished(one, group))}/s",
        f"pending {number(group.pending)}{ago(group.oldest_pending_seconds)}",
        *([f"postponed {number(group.postponed)}"] if group.postponed else []),
        f"lag {number(group.lag)}{ago(group.oldest_undelivered_seconds)}",
        *([f"lost {number(group.lost)}"] if group.lost else []),
    )
    paused = "   paused" if group.paused else ""
    lines: list[RenderableType] = [
        Text.assemble((f"group {_name(group.name)}{paused}", "bold"), "   ", "   ".join(facts))
    ]
    if not group.consumers:
        return [*lines, Text("  no consumers")]
    consumers = sorted(group.consumers, key=lambda each: (-each.pending, each.idle_seconds))
    return [
        *lines,
        table(
            "  CONSUMER",
            [f"  {_name(one.name)}" for one in consumers],
            [
                Figures("STATE", [_state(one) for one in consumers], left=True),
                Figures("PENDING", [number(one.pending) for one in consumers]),
                Figures("IDLE", [duration(one.idle_seconds) for one in consumers]),
                Figures("HOLDS", [one.holds or "" for one in consumers]),
                Figures(
                    "FOR",
                    [_held_for(one) for one in consumers],
                ),
            ],
            width=width,
            styles={("STATE", row): "green" if one.alive else "yellow" for row, one in enumerate(consumers)},
        ),
    ]


def _held_for(one: ConsumerStats) -> str:
    return "" if one.held_seconds is None else "over" if one.lease_over else duration(one.held_seconds)


def _state(one: ConsumerStats) -> str:
    return "alive" if one.alive else "ended" if one.ended else "silent"


def _name(text: str) -> str:
    """Untrusted text on one line."""
    return " ".join(line(text).split())


def _line(text: str, width: int, style: str) -> Text:
    line = Text(text, style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line
