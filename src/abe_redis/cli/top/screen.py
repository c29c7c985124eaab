"""The screen: a table of streams, or one stream with its groups and consumers.

Drawn anew for each size of the terminal; no colour carries a meaning alone.
"""

import textwrap
from collections.abc import Callable
from itertools import islice

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from abe_redis.cli.top.view import SORTS, View, lag, oldest, pending
from abe_redis.inspection.health import duration
from abe_redis.sanitize.untrusted import line
from abe_redis.schemas import GroupStats, Health, StreamStats

_COLOURS: dict[Health, str] = {
    "stalled": "bold red",
    "unread": "yellow",
    "backlog": "yellow",
    "paused": "magenta",
    "dead_letters": "yellow",
    "working": "cyan",
    "ok": "green",
}
_UNKNOWN = "–"  # noqa: RUF001 - a dash, as on the dashboard
_THOUSAND = 1000
_KEYS = "↑↓ choose   ⏎ open   s sort   r reverse   space pause   q quit"
_KEYS_INSIDE = "esc back   space pause   q quit"
_AROUND = 4
"""Lines that are neither rows nor the head: the headings, the keys, and the empty lines between."""
_MOST_TROUBLE = 4
"""Lines for an error; with fewer, 80 columns would not hold it."""


def draw(view: View, width: int, height: int) -> RenderableType:
    """The whole screen.

    Args:
        view: The state to show.
        width: Columns of the terminal.
        height: Lines of the terminal.
    """
    chosen = view.current()
    head = _head(view, width)
    rows = height - len(head) - _AROUND
    body = _inside(view, chosen) if view.inside and chosen else _table(view, width, rows)
    order = f"by {SORTS[view.sort][0]}{', reversed' if view.reverse else ''}"
    keys = _KEYS_INSIDE if view.inside else f"{_KEYS}   {order}"
    return Group(*head, Text(""), body, Text(""), _line(keys, width, "dim"))


def _head(view: View, width: int) -> list[Text]:
    state = "paused" if view.paused else f"every {view.every_seconds:g} s"
    when = f"{view.at:%H:%M:%S}" if view.at else "loading …"
    lines = [_line(f"abe-redis top   {_name(view.where)}   {when}   {state}", width, "bold")]
    if view.trouble:
        since = f" The table shows the state of {view.at:%H:%M:%S}." if view.at else ""
        told = textwrap.wrap(_name(view.trouble) + since, width, max_lines=_MOST_TROUBLE, placeholder=" …")
        return [*lines, *(_line(one, width, "bold red") for one in told)]
    lags = [lag(one) for one in view.streams]
    groups = [(one, group) for one in view.streams for group in one.groups]
    facts = (
        f"{_count(len(view.streams), 'stream')}",
        f"in {_rate(_sum([view.rates.added(one) for one in view.streams]))}/s",
        f"done {_rate(_sum([view.rates.finished(*one) for one in groups]))}/s",
        f"pending {_number(sum(pending(one) for one in view.streams))}",
        f"lag {_number(None if None in lags else sum(lag or 0 for lag in lags))}",
        f"dead {_number(sum(one.dead_letters for one in view.streams))}",
    )
    return [*lines, _line("   ".join(facts), width, "")]


def _table(view: View, width: int, rows: int) -> RenderableType:
    if not view.streams:
        return Text("" if view.at is None else "No stream exists yet: nothing was published.")
    table = Table(box=None, pad_edge=False, padding=(0, 1), expand=True)
    table.add_column("  STREAM", ratio=1, no_wrap=True, overflow="ellipsis")
    columns = [(name, cell) for name, widest, cell in _COLUMNS if width >= widest]
    for name, _ in columns:
        table.add_column(name, justify="left" if name == "HEALTH" else "right", no_wrap=True)
    streams, current = view.sorted(), view.current()
    at = streams.index(current) if current else 0
    first = max(0, min(at - rows // 2, len(streams) - rows))
    for one in islice(streams, first, first + max(1, rows)):
        marked = one is current
        table.add_row(
            Text(f"{'> ' if marked else '  '}{_name(one.stream)}"),
            *(
                Text(cell(view, one), style=_COLOURS[one.health] if column == "HEALTH" else "")
                for column, cell in columns
            ),
            style="reverse" if marked else "",
        )
    return table


_COLUMNS: tuple[tuple[str, int, Callable[[View, StreamStats], str]], ...] = (
    ("HEALTH", 0, lambda _, one: one.health.replace("_", " ")),
    ("ENTRIES", 100, lambda _, one: _number(one.length)),
    ("GROUPS", 120, lambda _, one: str(len(one.groups))),
    ("CONSUMERS", 120, lambda _, one: _alive([*one.groups])),
    ("IN/S", 0, lambda view, one: _rate(view.rates.added(one))),
    ("DONE/S", 70, lambda view, one: _rate(_sum([view.rates.finished(one, group) for group in one.groups]))),
    ("PENDING", 0, lambda _, one: _number(pending(one))),
    ("LAG", 0, lambda _, one: _number(lag(one))),
    ("OLDEST", 0, lambda _, one: _duration(oldest(one))),
    ("DEAD", 60, lambda _, one: _number(one.dead_letters)),
)
"""Heading, least width of the terminal, and content of each column."""


def _inside(view: View, one: StreamStats) -> RenderableType:
    newest = f"newest {one.last_at:%Y-%m-%d %H:%M:%S} UTC" if one.last_at else "empty"
    facts = [_count(one.length, "entry", "entries"), newest, _count(one.dead_letters, "dead letter")]
    if one.memory_bytes is not None:
        facts.append(f"{one.memory_bytes / 1000:,.0f} kB")
    parts: list[RenderableType] = [
        Text.assemble(
            (_name(one.stream), "bold"), "   ", (one.health.replace("_", " "), _COLOURS[one.health])
        ),
        Text("   ".join(facts)),
        Text(_name(one.advice)),
    ]
    for group in one.groups:
        parts += [Text(""), *_group(view, one, group)]
    return Group(*parts)


def _group(view: View, one: StreamStats, group: GroupStats) -> list[RenderableType]:
    facts = (
        f"done {_rate(view.rates.finished(one, group))}/s",
        f"pending {_number(group.pending)}{_ago(group.oldest_pending_seconds)}",
        f"lag {_number(group.lag)}{_ago(group.oldest_undelivered_seconds)}",
        *([f"lost {_number(group.lost)}"] if group.lost else []),
    )
    paused = "   paused" if group.paused else ""
    lines: list[RenderableType] = [
        Text.assemble((f"group {_name(group.name)}{paused}", "bold"), "   ", "   ".join(facts))
    ]
    if not group.consumers:
        return [*lines, Text("  no consumers")]
    table = Table(box=None, pad_edge=False, padding=(0, 1), expand=True)
    table.add_column("  CONSUMER", ratio=1, no_wrap=True, overflow="ellipsis")
    for heading in ("STATE", "PENDING", "IDLE", "HOLDS", "FOR"):
        table.add_column(heading, justify="left" if heading == "STATE" else "right", no_wrap=True)
    for consumer in sorted(group.consumers, key=lambda each: (-each.pending, each.idle_seconds)):
        state = Text("alive", "green") if consumer.alive else Text("silent", "yellow")
        row = (
            _number(consumer.pending),
            _duration(consumer.idle_seconds),
            consumer.holds or "",
            "" if consumer.held_seconds is None else _duration(consumer.held_seconds),
        )
        table.add_row(Text(f"  {_name(consumer.name)}"), state, *row)
    return [*lines, table]


# Numbers ------------------------------------------------------------------------------------------------


def _alive(groups: list[GroupStats]) -> str:
    consumers = [consumer for group in groups for consumer in group.consumers]
    return f"{sum(one.alive for one in consumers)} of {len(consumers)}"


def _sum(values: list[float | None]) -> float | None:
    return None if None in values else sum(value or 0 for value in values)


def _number(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e4)):
        if value >= size:
            return f"{value / (_THOUSAND if unit == 'k' else size):.4g}{unit}"
    return f"{value:,.0f}"


def _rate(value: float | None) -> str:
    if value is None:
        return _UNKNOWN
    return f"{value:.1f}" if 0 < value < 10 else _number(value)  # noqa: PLR2004 - one digit more for few


def _duration(seconds: float | None) -> str:
    return _UNKNOWN if seconds is None else duration(seconds)


def _ago(seconds: float | None) -> str:
    return "" if seconds is None else f" (oldest {duration(seconds)})"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _name(text: str) -> str:
    """Untrusted text on one line."""
    return " ".join(line(text).split())


def _line(text: str, width: int, style: str) -> Text:
    line = Text(text, style=style, no_wrap=True, overflow="ellipsis")
    line.truncate(width, overflow="ellipsis")
    return line
