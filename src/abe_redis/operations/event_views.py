"""A readable view of an entry: a summary, and a payload that fits."""

import json
import re
from typing import Any

import anyio.lowlevel

from abe_redis.events import codec, kinds, slack
from abe_redis.events.codec import Fields
from abe_redis.operations.event_line import summarise
from abe_redis.sanitize.secrets import cut
from abe_redis.schemas import Buried, EventView
from abe_redis.streams import dead_fields, ids

DEEPEST = 64
"""Levels of a payload that are shown; JSON parsers give up at 100, 200 or 255."""


def view(entry_id: str, fields: Fields | None, **more: Any) -> EventView:  # noqa: ANN401 - EventView's own
    """The view of an entry; `more` are further fields of `EventView`."""
    try:
        payload = None if fields is None else codec.decode(fields)
        unreadable = "the entry is no longer in the stream" if fields is None else ""
    except codec.UndecodableError as error:
        payload, unreadable = None, f"unreadable: {error}"
    buried = _buried(entry_id, fields or {})
    if payload is not None:
        payload = codec.without_token(payload)  # older versions kept it
    too_deep = payload is not None and codec.is_deeply_nested((fields or {})[codec.DATA], payload, DEEPEST)
    if too_deep:
        payload = _cut_depth(payload, DEEPEST)
    summary = unreadable if payload is None else summarise(payload)
    if buried is not None:
        summary += f" [buried: {buried.reason}]"
    return EventView(
        id=entry_id,
        timestamp=ids.moment(entry_id),
        event_type=None if payload is None else slack.event_type(payload),
        summary=summary,
        payload=payload,
        truncated=too_deep,
        buried=buried,
        **more,
    )


def _buried(entry_id: str, fields: Fields) -> Buried | None:
    """The facts of a dead letter about its burial."""
    if (reason := fields.get(dead_fields.REASON)) is None:
        return None
    group, handler = fields.get(dead_fields.GROUP), fields.get(dead_fields.HANDLER)
    return Buried(
        group=None if group is None else group.decode(errors="replace"),
        reason=reason.decode(errors="replace"),
        deliveries=ids.number(fields.get(dead_fields.DELIVERIES)),
        handler=None if handler is None else handler.decode(errors="replace"),
        place=_place(fields.get(dead_fields.TRACE, b"")),
        first_id=fields.get(dead_fields.FIRST_ID, entry_id.encode()).decode(errors="replace"),
    )


_FRAME = re.compile(r'^ *(?:[|+] *)*File "([^"\n]{1,300})", line (\d{1,9}), in ([^\n]{1,100})$', re.MULTILINE)
_MOST_READ_OF_A_TRACE = 8000


def _place(trace: bytes) -> str | None:
    """The last place that a traceback names, if possible in code that is no installed package's."""
    found = _FRAME.findall(trace[-_MOST_READ_OF_A_TRACE:].decode(errors="replace"))
    own = [one for one in found if "-packages" not in one[0]]
    file, line, function = (own or found or [("", "", "")])[-1]
    return f"{file}:{line} in {function}" if file else None


def _cut_depth(value: Any, levels: int) -> Any:  # noqa: ANN401 - any JSON
    if not isinstance(value, dict | list):
        return value
    if not levels:
        return "…"
    if isinstance(value, list):
        return [_cut_depth(item, levels - 1) for item in value]
    return {name: _cut_depth(item, levels - 1) for name, item in value.items()}


def compact(value: object) -> str:
    """Compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


async def fit(views: list[EventView], max_chars: int) -> bool:
    """Shorten payloads so that all of them together have at most `max_chars` characters of JSON.

    Small ones stay whole; large ones share the rest fairly. Others have their turn in between.

    Returns:
        Whether any was shortened.
    """
    sizes = sorted(((len(compact(one.payload)), one) for one in views), key=lambda pair: pair[0])
    left, any_shortened = max_chars, False
    for position, (size, one) in enumerate(sizes):
        share = left // (len(sizes) - position)
        if size > share and one.payload is not None:
            one.payload, one.truncated, any_shortened = shorten(one.payload, share), True, True
            size = len(compact(one.payload))  # noqa: PLW2901 - its size now
            await anyio.lowlevel.checkpoint()
        left = max(0, left - size)
    return any_shortened


def shorten(payload: dict[str, Any], limit: int) -> dict[str, Any]:
    """The payload with long strings, lists and deep parts cut until its JSON fits in `limit`.

    No secret and no name is cut in two, since masking would not recognize a part of a secret.
    """
    large = [(limit // share, 100, 16) for share in (2, 8) if limit // share > _LARGE]
    for string, items, depth in (
        *large,
        (_LARGE, 50, 12),
        (300, 20, 8),
        (100, 10, 6),
        (40, 5, 4),
        (20, 3, 3),
    ):
        shorter = _cut(payload, string, items, depth)
        if len(compact(shorter)) <= limit:
            return dict(shorter)
    kept: dict[str, Any] = {}
    for name, value in kinds.event_of(payload).items():
        candidate = kept | {name: _cut(value, 20, 0, 1)}
        if len(name) <= _LONGEST_NAME and len(compact(candidate)) <= limit:
            kept = candidate
    return kept


CUT = re.compile(r"…\(\+(\d{1,9}) characters\)$")
"""The end of a shortened text: how much is missing."""

_LARGE = 1000
"""Texts longer than this are shortened first."""
_LONGEST_NAME = 40
"""Most characters of a field that is kept even if almost nothing fits."""


def _length(text: str) -> int:
    """Characters that a text has, or had before it was shortened."""
    before = CUT.search(text[-_LONGEST_NAME:])
    return len(text) if before is None else len(text) - len(before[0]) + int(before[1])


def _cut(value: Any, string: int, items: int, depth: int) -> Any:  # noqa: ANN401 - any JSON
    if isinstance(value, str):
        kept = cut(value, string)
        return value if kept == value else f"{kept}…(+{_length(value) - len(kept)} characters)"
    if isinstance(value, list):
        if depth <= 0:
            return f"…({len(value)} items)"
        rest = [f"…(+{len(value) - items} items)"] if len(value) > items else []
        return [_cut(item, string, items, depth - 1) for item in value[:items]] + rest
    if isinstance(value, dict):
        if depth <= 0:
            return f"…({len(value)} fields)"
        rest_of = {"…": f"(+{len(value) - 2 * items} fields)"} if len(value) > 2 * items else {}
        shown = list(value.items())[: 2 * items] if rest_of else value.items()
        return {name: _cut(item, string, items, depth - 1) for name, item in shown} | rest_of
    return value
