"""The tables of `stats`: streams, who holds which event for how long, and what is wrong."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.cli.failure import keep
from abe_redis.cli.output import plain, say, wraps
from abe_redis.errors import OutboxError, RedisRefusedError, RedisUnavailableError
from abe_redis.inspection.health import NOTHING
from abe_redis.operations.operations import Operations
from abe_redis.runtime.plurals import count, duration, pending
from abe_redis.schemas import ConsumerStats, StatsResult, StreamStats

_MOST_HOLDING = 10
"""Consumers that are shown among many streams, those that hold an event longest."""


_ANY_WIDTH = 10_000


async def stats_or_causes(
    backend: RedisMessageQueueBackend, stream: str | None, *, as_json: bool
) -> StatsResult:
    """The state of the streams; if Redis does not tell it, what is known all the same, and the error."""
    operations = Operations(backend, origin="cli")
    try:
        return await operations.stream_stats(stream=stream, parts_too=True)
    except (RedisRefusedError, RedisUnavailableError) as error:
        is_refused = isinstance(error, RedisRefusedError)
        causes = await operations.causes([]) if is_refused else []
        if as_json:
            keep(await _without_redis(operations, [*causes, str(error)]))
        else:
            for cause in causes:
                say(plain(cause))
        raise


async def _without_redis(operations: Operations, problems: list[str]) -> StatsResult:
    """What is known without an answer of Redis."""
    outbox = None
    with suppress(OutboxError):  # the problems say it
        outbox = await operations.outbox()
    return StatsResult(problems=problems, streams=[], outbox=outbox)


class _Consumer(NamedTuple):
    stream: str
    group: str
    one: ConsumerStats


def print_stats(streams: Sequence[StreamStats], *, every_consumer: bool, lease_seconds: float) -> None:
    """Print them.

    Args:
        streams: The streams, the worst first.
        every_consumer: Show all consumers; else those that hold an event longest.
        lease_seconds: How long leases last by the settings of who looks.
    """
    console = Console(highlight=False, soft_wrap=not wraps())
    _print_fitting(console, _of_streams(streams), map(_stream_line, streams))
    shown = sorted(_consumers(streams), key=lambda each: -(each.one.held_seconds or 0))
    more = 0
    if not every_consumer:
        holding = [each for each in shown if each.one.holds]
        shown, more = holding[:_MOST_HOLDING], len(holding) - _MOST_HOLDING
    if shown:
        _print_fitting(console, _of_consumers(shown), map(_consumer_line, shown))
    if more > 0:
        console.print(f"{count(more, 'consumer')} more: `abe-redis stats STREAM` shows all of a stream.")
    if every_consumer:
        console.print(
            f"By this shell's settings, a lease lasts {lease_seconds:g} s (REDIS_STREAM_LEASE_SECONDS)."
        )
    for one in streams:
        if one.health != "ok" or one.advice != NOTHING:
            lines = [plain(line) for line in one.advice.splitlines()]
            before = " " if len(lines) == 1 else "\n  "
            console.print(Text(f"{plain(one.stream)}:{''.join(before + line for line in lines)}"))


def _print_fitting(console: Console, table: Table, lines: Iterable[str]) -> None:
    """Print a table; in a terminal that is too narrow for it, a line for each row."""
    if console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum <= console.width:
        console.print(table)
        return
    for one in lines:
        console.print(Text(one))


def _stream_line(one: StreamStats) -> str:
    return (
        f"{plain(one.stream)}: {one.health}; {count(one.length, 'entry', 'entries')}, "
        f"{count(len(one.groups), 'group')}, pending {_pending(one)}, "
        f"lag {_lag(one)}, {one.dead_letters} dead"
    )


def _consumer_line(each: _Consumer) -> str:
    one = each.one
    holds = f", holds {one.holds} for {duration(one.held_seconds or 0)}" if one.holds else ""
    holds = f", had {one.holds}: {_OVER}" if one.lease_over else holds
    state = f"{_state(one)}; " if _state(one) else ""
    return (
        f"{plain(one.name)} of {plain(each.group)} on {plain(each.stream)}: {state}"
        f"pending {pending(one.pending, one.postponed)}{holds}"
    )


_OVER = "lease over"


def _held_for(one: ConsumerStats) -> str:
    """For how long a consumer has held its event, unless that is free by now; empty without one."""
    return "" if one.held_seconds is None else _OVER if one.lease_over else duration(one.held_seconds)


_NOBODY = "(nobody)"
"""Stands in the place of a consumer's name before the events that nobody has."""


def _state(one: ConsumerStats) -> str:
    if one.name == _NOBODY:
        return ""
    if one.alive:
        return "takes no events" if one.full else "alive"
    return "ended" if one.ended else f"silent for {duration(one.idle_seconds)}"


def _pending(one: StreamStats) -> str:
    return pending(sum(group.pending for group in one.groups), sum(group.postponed for group in one.groups))


def _lag(one: StreamStats) -> str:
    lags = [group.lag for group in one.groups]
    return "?" if None in lags else str(sum(lag or 0 for lag in lags))


def _consumers(streams: Sequence[StreamStats]) -> Iterator[_Consumer]:
    for stream in streams:
        for group in stream.groups:
            for one in group.consumers:
                yield _Consumer(stream.stream, group.name, one)
            number, postponed = group.nobodys
            if number:
                nobody = ConsumerStats(
                    name=_NOBODY, pending=number, postponed=postponed, idle_seconds=0, alive=False
                )
                yield _Consumer(stream.stream, group.name, nobody)


def _of_streams(streams: Sequence[StreamStats]) -> Table:
    table = _table("stream", "health", "entries", "groups", "pending", "lag", "dead")
    for one in streams:
        table.add_row(
            Text(plain(one.stream)),
            one.health,
            str(one.length),
            str(len(one.groups)),
            _pending(one),
            _lag(one),
            str(one.dead_letters),
        )
    return table


def _of_consumers(shown: Sequence[_Consumer]) -> Table:
    table = _table("consumer", "group", "stream", "state", "lease", "pending", "holds", "for")
    for stream, group, one in shown:
        table.add_row(
            Text(plain(one.name)),
            Text(plain(group)),
            Text(plain(stream)),
            _state(one),
            "" if one.lease_seconds is None else f"{one.lease_seconds:g} s",
            pending(one.pending, one.postponed),
            one.holds or "",
            _held_for(one),
        )
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table()
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
