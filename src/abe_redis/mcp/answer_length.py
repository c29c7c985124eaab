"""Bounded answers with events: the whole answer, text and structure together, has at most `max_chars`."""

import json
from collections.abc import Callable
from typing import Any

import anyio.lowlevel

from abe_redis.mcp.agent_events import AgentEvent, AgentRead
from abe_redis.operations.event_views import CUT, compact, shorten
from abe_redis.sanitize.secrets import cut

_LEAST, _LEAST_PER_EVENT = 600, 150
"""Characters of an answer, and of each event in it, without the event's words."""
_LEAST_WORDS, _LEAST_PAYLOAD = 200, 500
"""Characters of an event's words, and of its JSON, below which fewer events are shown instead."""
_SHORT, _LEAST_FACT = 40, 5

type Size = Callable[[AgentRead], int]
"""Returns the characters of an answer."""


def most_events(max_chars: int) -> int:
    """Number of events that an answer can show at all."""
    return max(1, (max_chars - _LEAST) // _LEAST_PER_EVENT)


async def fit(result: AgentRead, size: Size, max_chars: int, *, halves: int) -> None:
    """Shorten long words and payloads, and drop the last events, until an answer fits.

    Others have their turn between two events: to shorten one takes long if somebody wrote it to take long.

    Args:
        result: The result to shorten, in place. The caller gives dropped events of a lease back.
        size: Measures the answer.
        max_chars: For the whole answer.
        halves: 1 when an answer is text alone, 2 with a structure that says the same.
    """
    result.note = _cut(result.note, max(150, max_chars // 4))
    cut_before = [event.truncated for event in result.events]
    words = [(event.untrusted_text, event.untrusted_payload) for event in result.events]
    for event, (text, payload) in zip(result.events, words, strict=True):
        event.untrusted_text = event.untrusted_payload = None
        event.truncated = event.truncated or bool(text or payload)  # assume this length while it is measured
    least = [
        min(_LEAST_WORDS, _length(text))
        if payload is None
        else min(_LEAST_PAYLOAD, len(compact(payload)) + _AROUND_PAYLOAD)
        for text, payload in words
    ]
    note, dropped = result.note, 0
    while len(result.events) > 1 and (size(result) + halves * sum(least[: len(result.events)]) > max_chars):
        result.events.pop()
        dropped += 1
        if result.mode == "lease":
            result.note = f"{note} {dropped} more did not fit and stay in the group."
        elif result.stream:
            result.next_start = result.events[-1].id
    for shorten_more in (_shorten_fields, _shorten_names, _shorten_all):
        if size(result) > max_chars:
            shorten_more(result)
    most = _SHORT // 2
    while size(result) > max_chars and most > _LEAST_FACT:
        _shorten_facts(result, most := most // 2)
    await _fill(result.events, words, cut_before, (max_chars - size(result)) // halves)
    while size(result) > max_chars and (longest := max(result.events, key=_room, default=None)):
        if not _room(longest):
            break
        _shorten(longest, _room(longest) // 2)
        await anyio.lowlevel.checkpoint()


async def _fill(
    events: list[AgentEvent],
    words: list[tuple[str | None, dict[str, Any] | None]],
    cut_before: list[bool],
    room: int,
) -> None:
    """Put words and payloads back: small ones whole, large ones as far as each has its share of the room."""
    pairs = [(event, text) for event, (text, _) in zip(events, words, strict=False)]
    for (event, text), (_, payload), was_cut in zip(pairs, words, cut_before, strict=False):
        event.truncated, event.untrusted_payload = was_cut, payload
        event.untrusted_text = text if payload is None else None  # a payload has it, too
    pairs.sort(key=lambda pair: _room(pair[0]))
    for at, (event, text) in enumerate(pairs):
        share = max(0, room) // (len(pairs) - at)
        if _room(event) > share:
            _shorten(event, share, text)
            await anyio.lowlevel.checkpoint()
        room -= _room(event)


def _room(event: AgentEvent) -> int:
    """Characters that an event's words take, with what stands around them."""
    if event.untrusted_payload is None:
        return _length(event.untrusted_text)
    payload = len(compact(event.untrusted_payload)) + _AROUND_PAYLOAD
    return payload + _length(event.untrusted_text)


_AROUND_PAYLOAD = 25
"""Characters around the JSON of an event in an answer."""


def _says(payload: dict[str, Any], text: str | None) -> bool:
    """Whether a shortened payload still has the beginning of the event's text."""
    return text is None or json.dumps(text[:_SHORT], ensure_ascii=False)[1:-1] in compact(payload)


def _length(text: str | None) -> int:
    return 0 if text is None else len(json.dumps(text, ensure_ascii=False)) + 20


def _shorten(event: AgentEvent, most: int, text: str | None = None) -> None:
    """Shorten an event's words; its text replaces a payload of which nothing would be left."""
    was_cut, event.truncated = event.truncated, True
    most -= 40
    if event.untrusted_payload is not None:
        event.untrusted_payload = shorten(event.untrusted_payload, most) if most > _SHORT else None
        if event.untrusted_payload and _says(event.untrusted_payload, text):
            return
        event.untrusted_payload, event.untrusted_text = None, text
    said = event.untrusted_text
    if said is None:
        return
    missing = 0
    if was_cut and (before := CUT.search(said)):
        said, missing = said[: before.start()], int(before[1])
    length = min(len(said), max(0, most - 30))
    while length > 0 and _length(cut(said, length)) > most - 30:
        length = length * 3 // 4
    kept = cut(said, length) if length > 0 else ""
    event.untrusted_text = f"{kept}…(+{missing + len(said) - len(kept)} characters)" if kept else None


def _shorten_fields(result: AgentRead, most: int = 2 * _SHORT) -> None:
    for event in result.events:
        for name in type(event).model_fields:
            value = getattr(event, name)
            if name.startswith("untrusted_") and isinstance(value, str):
                setattr(event, name, _cut(value, most))


def _shorten_names(result: AgentRead) -> None:
    result.groups, result.handled = result.groups[:5], result.handled[:10]
    for event in result.events:
        event.holder = event.holder and _cut(event.holder, _SHORT)
        event.group = event.group and _cut(event.group, _SHORT)
    for group in result.groups:
        group.name = _cut(group.name, _SHORT)
    for state in result.handled:
        state.group = _cut(state.group, _SHORT)
        state.consumer = state.consumer and _cut(state.consumer, _SHORT)


def _shorten_all(result: AgentRead) -> None:
    result.note, result.stream, result.brief = "", _cut(result.stream, _SHORT), True
    for event in result.events:
        for name in ("stream", "group", "holder"):
            value: str | None = getattr(event, name)
            setattr(event, name, value and _cut(value, _SHORT // 2))
    result.length, result.groups, result.handled = 0, [], result.handled[:2]


def _shorten_facts(result: AgentRead, most: int) -> None:
    """Shorten all that is left: both halves of an answer together say a name four times."""
    _shorten_fields(result, most)
    result.stream = _cut(result.stream, most)
    for event in result.events:
        for name in ("stream", "group", "holder", "first_id"):
            value: str | None = getattr(event, name)
            setattr(event, name, value and _cut(value, most))
    for state in result.handled:
        state.group = _cut(state.group, most)
        state.consumer = state.consumer and _cut(state.consumer, most)


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[: most - 1]}…"
