"""The columns of the table of streams, and the orders that it can be sorted in."""

from collections.abc import Callable

from abe_redis.cli.top.figures import alive, duration, lag, number, oldest, pending, rate, total
from abe_redis.cli.top.rates import Rates
from abe_redis.schemas import SEVERITY, StreamStats

COLUMNS: tuple[tuple[str, int, Callable[[Rates, StreamStats], str]], ...] = (
    ("HEALTH", 0, lambda _, one: one.health.replace("_", " ")),
    ("ENTRIES", 3, lambda _, one: number(one.length)),
    ("GROUPS", 5, lambda _, one: str(len(one.groups))),
    ("CONSUMERS", 4, lambda _, one: alive([*one.groups])),
    ("IN/S", 0, lambda rates, one: rate(rates.added(one))),
    ("DONE/S", 2, lambda rates, one: rate(total([rates.finished(one, group) for group in one.groups]))),
    ("PENDING", 0, lambda _, one: number(pending(one))),
    ("LAG", 0, lambda _, one: number(lag(one))),
    ("OLDEST", 0, lambda _, one: duration(oldest(one))),
    ("DEAD", 1, lambda _, one: number(one.dead_letters)),
)
"""Heading, rank (see `Figures`) and content of each column."""

SORTS: tuple[tuple[str, Callable[[Rates, StreamStats], float | str]], ...] = (
    ("health", lambda _, one: SEVERITY.index(one.health)),
    ("stream", lambda _, one: one.stream),
    ("in/s", lambda rates, one: -(rates.added(one) or 0)),
    ("pending", lambda _, one: -pending(one)),
    ("lag", lambda _, one: -(lag(one) or 0)),
    ("oldest", lambda _, one: -(oldest(one) or 0)),
    ("dead", lambda _, one: -one.dead_letters),
    ("entries", lambda _, one: -one.length),
)
"""The orders of the table, each with the most urgent streams first."""
