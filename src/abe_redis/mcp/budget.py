"""Answers that never drown a model: text and structure together have at most so many characters."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel

from abe_redis.results import ReadResult, StatsResult, StreamStats
from abe_redis.views import compact, fit

OVERVIEW_CHARS = 2000
"""For the health of all streams."""

_LEAST, _LEAST_PER_EVENT = 600, 350
"""Characters that an answer takes, and each event in it without its payload, in text and structure."""

_SHORT, _SHORT_SUMMARY = 40, 60
_MOST_ADVICE, _MOST_GROUPS = 500, 10
"""Of a stream, when all of it does not fit."""


def most_events(max_chars: int) -> int:
    """How many events an answer can show at least something of; what is leased must be shown."""
    return max(1, (max_chars - _LEAST) // _LEAST_PER_EVENT)


def size(result: BaseModel, text: str, *, full: bool = False) -> int:
    """Characters of an answer: of its text, and of its structure as JSON."""
    return len(text) + len(compact(plain(result, full=full)))


def plain(result: BaseModel, *, full: bool = False) -> dict[str, Any]:
    """The structure of an answer; unless `full`, without what says nothing: nulls, and what is as always."""
    return result.model_dump(mode="json", exclude_defaults=not full)


def fit_events(
    result: ReadResult, text: Callable[[ReadResult], str], max_chars: int, *, full: bool = False
) -> None:
    """Shorten payloads, then summaries, then leave out the last events, until an answer fits.

    Args:
        result: What was read; it is changed.
        text: Makes the answer's text.
        max_chars: For text and structure together.
        full: Whether the structure has everything.
    """
    result.note = _cut(result.note, max(150, max_chars // 4))
    payloads = [(event.payload, event.truncated) for event in result.events]
    left = _without_payloads(result, text, max_chars, full=full)
    if left < 0:
        for event in result.events:
            event.summary = _cut(event.summary, _SHORT_SUMMARY)
            event.event_type = event.event_type and _cut(event.event_type, _SHORT)
        left = _without_payloads(result, text, max_chars, full=full)
    while left < 0 and len(result.events) > 1 and result.mode != "lease":
        result.events.pop()
        result.next_start = result.events[-1].id
        left = _without_payloads(result, text, max_chars, full=full)
    if left < 0:  # long names are left
        for event in result.events:
            event.consumer = event.consumer and _cut(event.consumer, _SHORT)
        result.groups = []
        left = _without_payloads(result, text, max_chars, full=full)
    # What a payload adds beside itself: its name in the structure, and a new line in the text.
    share = max(0, left - 20 * len(result.events)) // 2
    for event, whole in zip(result.events, payloads, strict=False):
        event.payload, event.truncated = whole
    fit(result.events, share)
    for event in result.events:
        event.payload = event.payload or None  # nothing of it fits


def _without_payloads(
    result: ReadResult, text: Callable[[ReadResult], str], max_chars: int, *, full: bool
) -> int:
    """How many characters are left for payloads, which are taken out."""
    for event in result.events:
        event.payload, event.truncated = None, True
    return max_chars - size(result, text(result), full=full)


def fit_overview(
    result: StatsResult, text: Callable[[StatsResult], str], max_chars: int = OVERVIEW_CHARS
) -> None:
    """Leave out consumers, and then the streams that are best, until an answer fits.

    Args:
        result: The worst stream first; it is changed.
        text: Makes the answer's text.
        max_chars: For text and structure together.
    """
    if size(result, text(result)) <= max_chars:
        return
    every = result.streams
    for stream in every:
        stream.advice = _cut(stream.advice, _MOST_ADVICE)
        stream.added = None
        for group in stream.groups:
            group.consumers = []
    for most_groups in (_MOST_GROUPS, 1, 0):
        for stream in every:
            stream.groups = stream.groups[:most_groups]
        _keep_most(result, every, text, max_chars)
        if result.streams:
            return


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
