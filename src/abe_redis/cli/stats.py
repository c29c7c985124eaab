"""The tables of `stats`: streams, who holds which event for how long, and what is wrong."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from rich.console import Console
from rich.table import Table
from rich.text import Text

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.cli.common import plain
from abe_redis.errors import AbeRedisError
from abe_redis.inspection.health import duration
from abe_redis.operations.operations import Operations
from abe_redis.schemas import ConsumerStats, StatsResult, StreamStats

_MOST_HOLDING = 10
"""Consumers that are shown among many streams, those that hold an event longest."""


_NEARLY_FULL = 0.9
"""The part of a server's memory from which it is told of."""


async def stats_and_memory(
    backend: RedisMessageQueueBackend, stream: str | None
) -> tuple[StatsResult, list[str]]:
    """The state of the streams, and a sentence for each server that is nearly full."""
    operations = Operations(backend, origin="cli")
    result = await operations.stream_stats(stream=stream)
    with suppress(AbeRedisError):  # the sentences are more than what was asked for
        return result, [
            f"Redis {one.server} uses {one.used_bytes / one.max_bytes:.0%} of its memory (maxmemory), and "
            "refuses events when it is full. `abe-redis doctor` names what holds memory, and what frees it."
            for one in await operations.memory()
            if one.max_bytes and one.used_bytes >= _NEARLY_FULL * one.max_bytes
        ]
    return result, []


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
    console = Console(highlight=False)
    console.print(_of_streams(streams))
    shown = sorted(_consumers(streams), key=lambda each: -(each.one.held_seconds or 0))
    if not every_consumer:
        shown = [each for each in shown if each.one.holds][:_MOST_HOLDING]
    if shown:
        console.print(_of_consumers(shown))
    if every_consumer:
        console.print(
            f"Leases of whoever has these settings last {lease_seconds:g} s (REDIS_STREAM_LEASE_SECONDS)."
        )
    for one in streams:
        if one.health != "ok" or any(group.lost for group in one.groups):
            console.print(Text(f"{plain(one.stream)}: {plain(one.advice)}"))


def _consumers(streams: Sequence[StreamStats]) -> Iterator[_Consumer]:
    for stream in streams:
        for group in stream.groups:
            for one in group.consumers:
                yield _Consumer(stream.stream, group.name, one)


def _of_streams(streams: Sequence[StreamStats]) -> Table:
    table = _table("stream", "health", "entries", "groups", "pending", "lag", "dead")
    for one in streams:
        lags = [group.lag for group in one.groups]
        table.add_row(
            Text(plain(one.stream)),
            one.health,
            str(one.length),
            str(len(one.groups)),
            str(sum(group.pending for group in one.groups)),
            "?" if None in lags else str(sum(lag or 0 for lag in lags)),
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
            "alive" if one.alive else f"silent for {duration(one.idle_seconds)}",
            "" if one.lease_seconds is None else f"{one.lease_seconds:g} s",
            str(one.pending),
            one.holds or "",
            "" if one.held_seconds is None else duration(one.held_seconds),
        )
    return table


def _table(first: str, *columns: str) -> Table:
    table = Table()
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
