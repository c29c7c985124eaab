"""Bounded answers: text and structure together have at most `max_chars` characters."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from abe_redis.operations.event_views import compact, fit
from abe_redis.schemas import ReadResult, StatsResult, StreamStats

OVERVIEW_CHARS = 2000
"""Characters of an overview of all streams."""

_LEAST, _LEAST_PER_EVENT = 600, 350
"""Characters that an answer takes, and each event in it without its payload, in text and structure."""

_SHORT, _SHORT_SUMMARY = 40, 60
_MOST_GROUPS = 10
"""Bounds of names, summaries and groups of a stream when not everything fits."""


def most_events(max_chars: int) -> int:
    """Number of events that an answer can show at all, with names and summaries of usual length."""
    return max(1, (max_chars - _LEAST) // _LEAST_PER_EVENT)


def size(result: BaseModel, text: str, *, full: bool = False) -> int:
    """Characters of an answer: of its text, and of its structure as JSON."""
    return len(text) + len(compact(plain(result, full=full)))


def plain(result: BaseModel, *, full: bool = False) -> dict[str, Any]:
    """The structure of an answer; unless `full`, without nulls and usual values."""
    return result.model_dump(mode="json", exclude_defaults=not full)


def fit_events(
    result: ReadResult, text: Callable[[ReadResult], str], max_chars: int, *, full: bool = False
) -> None:
    """Shorten payloads, then summaries, then names, then drop the last events, until an answer fits.

    Args:
        result: The result to shorten, in place. The caller gives dropped events of a lease back.
        text: Makes the answer's text.
        max_chars: For text and structure together.
        full: Whether the structure has everything.
    """
    result.note = _cut(result.note, max(150, max_chars // 4))
    payloads = [(event.payload, event.truncated) for event in result.events]
    for event in result.events:
        event.payload, event.truncated = None, True

    def left() -> int:
        return max_chars - size(result, text(result), full=full)

    for shorten in (_shorten_summaries, _shorten_names):
        if left() < 0:
            shorten(result)
    note = result.note
    while left() < 0 and len(result.events) > 1:
        result.events.pop()
        if result.mode == "lease":
            result.note = (
                f"{note} {len(payloads) - len(result.events)} more did not fit and stay in the group."
            )
        else:
            result.next_start = result.events[-1].id
    if left() < 0:
        result.note, result.stream = "", _cut(result.stream, _SHORT)
        result.length, result.groups = 0, []
    # What a payload adds to its own length: its name in the structure, and a new line in the text.
    share = max(0, left() - 20 * len(result.events)) // 2
    for event, whole in zip(result.events, payloads, strict=False):
        event.payload, event.truncated = whole
    fit(result.events, share)
    for event in result.events:
        event.payload = event.payload or None  # not even a part of it fits


def _shorten_summaries(result: ReadResult) -> None:
    for event in result.events:
        event.summary = _cut(event.summary, _SHORT_SUMMARY)
        event.event_type = event.event_type and _cut(event.event_type, _SHORT)


def _shorten_names(result: ReadResult) -> None:
    for event in result.events:
        event.consumer = event.consumer and _cut(event.consumer, _SHORT)
    result.groups = result.groups[:_MOST_GROUPS]
    for group in result.groups:
        group.name = _cut(group.name, _SHORT)


def fit_overview(
    result: StatsResult, text: Callable[[StatsResult], str], max_chars: int = OVERVIEW_CHARS
) -> None:
    """Drop consumers, shorten advice and names, and drop the healthiest streams, until it fits.

    Args:
        result: The result to shorten, in place, with the worst stream first.
        text: Makes the answer's text.
        max_chars: For text and structure together.
    """
    if size(result, text(result)) <= max_chars:
        return
    every = result.streams
    for stream in every:
        stream.added = None
        for group in stream.groups:
            group.consumers = []
    for most_groups, advice, name in _EVER_SMALLER:
        for stream in every:
            stream.groups = stream.groups[:most_groups]
            stream.advice, stream.stream = _cut(stream.advice, advice), _cut(stream.stream, name)
        _keep_most(result, every, text, max_chars)
        if len(result.streams) >= min(_FEW, len(every)):
            return


_EVER_SMALLER = ((_MOST_GROUPS, 500, 512), (1, 500, 512), (0, 300, 512), (0, 200, 100), (0, 80, _SHORT))
"""For each stream: most groups, and most characters of its advice and of its name."""
_FEW = 4
"""Number of the worst streams that are worth more than the details of one."""


def _keep_most(
    result: StatsResult, every: list[StreamStats], text: Callable[[StatsResult], str], max_chars: int
) -> None:
    low, high = 0, len(every)
    while low < high:
        middle = (low + high + 1) // 2
        _keep(result, every, middle)
        if size(result, text(result)) <= max_chars:
            low = middle
        else:
            high = middle - 1
    _keep(result, every, low)


def _keep(result: StatsResult, every: list[StreamStats], count: int) -> None:
    result.streams = every[:count]
    result.omitted = len(every) - count


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
