"""Bounded overviews: text and structure together have at most so many characters."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from abe_redis.operations.event_views import compact
from abe_redis.schemas import StatsResult, StreamStats

OVERVIEW_CHARS = 4000
"""Characters of an overview of all streams."""

_SHORT = 40
_MOST_GROUPS = 10
"""Bounds of names and groups of a stream when not everything fits."""


def size(result: BaseModel, text: str) -> int:
    """Characters of an answer: of its text, and of its structure as JSON."""
    return len(text) + len(compact(plain(result)))


def plain(result: BaseModel) -> dict[str, Any]:
    """The structure of an answer, without nulls and usual values."""
    return result.model_dump(mode="json", exclude_defaults=True)


def fit_overview(
    result: StatsResult, text: Callable[[StatsResult], str], max_chars: int = OVERVIEW_CHARS
) -> None:
    """Leave out figures, shorten advice, and keep of the healthiest streams only the names, until it fits.

    Args:
        result: The result to shorten, in place, with the worst stream first.
        text: Makes the answer's text.
        max_chars: For text and structure together.
    """
    every = result.streams
    for shorten in (_leave_as_it_is, _without_dates, _without_consumers, _without_groups):
        for stream in every:
            shorten(stream)
        if size(result, text(result)) <= max_chars:
            return
    for advice, name, most_names in _EVER_SMALLER:
        for stream in every:
            stream.advice, stream.stream = _whole_sentences(stream.advice, advice), _cut(stream.stream, name)
        _keep_most(result, every, text, max_chars, most_names)
        if len(result.streams) >= min(_FEW, len(every)):
            return


def _leave_as_it_is(_: StreamStats) -> None:
    """An overview that fits needs no shortening."""


def _without_dates(stream: StreamStats) -> None:
    stream.added = stream.first_at = stream.last_at = stream.memory_bytes = None


def _without_consumers(stream: StreamStats) -> None:
    stream.groups = stream.groups[:_MOST_GROUPS]
    for group in stream.groups:
        group.consumers, group.pending_by_age, group.unused_seconds = [], {}, None


def _without_groups(stream: StreamStats) -> None:
    stream.groups = []


_FEW = 4
"""Number of the worst streams that are worth more than the advice of one."""
_NAMES_CHARS = 40
_EVER_SMALLER = (
    *((300, 512, 100), (150, 100, 100), (80, _SHORT, 100), (60, _SHORT, 100)),
    *((80, _SHORT, 20), (80, _SHORT, 0)),
)
"""Most characters of each stream's advice and name, and most names of streams beside those."""


def _keep_most(
    result: StatsResult,
    every: list[StreamStats],
    text: Callable[[StatsResult], str],
    max_chars: int,
    most_names: int,
) -> None:
    low, high = 0, len(every)
    while low < high:
        middle = (low + high + 1) // 2
        _keep(result, every, middle, most_names)
        if size(result, text(result)) <= max_chars:
            low = middle
        else:
            high = middle - 1
    _keep(result, every, low, most_names)


def _keep(result: StatsResult, every: list[StreamStats], count: int, most_names: int) -> None:
    """Keep the worst streams; of the others, the names, by what state they are in."""
    result.streams, others = every[:count], every[count:]
    result.omitted, result.names = len(others), {}
    for one in others[:most_names]:
        result.names.setdefault(one.health, []).append(_cut(one.stream, _NAMES_CHARS))


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"


def _whole_sentences(words: str, most: int) -> str:
    """The first lines or sentences, as many as fit; of one that is longer, its first parts."""
    if len(words) <= most:
        return words
    kept = words[: most - 2]
    for stop in ("\n", ". ", "; ", ": ", ", ", " "):
        if (at := kept.rfind(stop)) > most // 3:
            kept = kept[: at + (stop == ". ")]
            break
    return f"{kept.rstrip()} …"
