"""Shortens payloads first, before they are masked and measured.

An event may have megabytes, or hundreds of thousands of parts. The later steps take time for each part and
block the event loop.
"""

from dataclasses import dataclass
from typing import Any

from abe_redis.operations.event_views import DEEPEST
from abe_redis.sanitize.secrets import cut
from abe_redis.schemas import EventView

_MOST_NODES, _MOST_CHARS = 40_000, 250_000
"""Parts and characters of all payloads of an answer. No answer has more characters than the second."""
_LEAST_NODES, _LEAST_CHARS = 300, 2_000
"""The least room of each event, in parts and characters."""
_WITHIN_A_SECRET = 20_000
"""Characters behind a cut that are searched for the end of a secret, so that no secret is cut in two."""


_SHORT = 200
"""Characters of a text that is kept before longer ones: ids, types and times are as short."""
_MOST_SORTED = 1000
"""Among this many fields of an object, the short ones are kept first."""


def _is_long(value: object) -> bool:
    return isinstance(value, dict | list) or (isinstance(value, str) and len(value) > _SHORT)


@dataclass(slots=True)
class Room:
    """The room that an answer has for payloads."""

    events: int
    """Number of events that still need room."""
    nodes: int = _MOST_NODES
    chars: int = _MOST_CHARS

    def bound(self, view: EventView) -> None:
        """Shorten an event's payload, in place, to its share of the room that is left."""
        share = max(1, self.events)
        self.events -= 1
        part = _Part(max(_LEAST_NODES, self.nodes // share), max(_LEAST_CHARS, self.chars // share))
        before = part.nodes, part.chars
        if view.payload is not None:
            view.payload = part.copied(view.payload, DEEPEST)
            view.truncated = view.truncated or part.is_cut
        self.nodes -= before[0] - part.nodes
        self.chars -= before[1] - part.chars


@dataclass(slots=True)
class _Part:
    """The room of one event, while its payload is copied."""

    nodes: int
    chars: int
    is_cut: bool = False

    def copied(self, value: Any, levels: int) -> Any:  # noqa: ANN401 - any JSON
        self.nodes -= 1
        if isinstance(value, str):
            return self._text(value)
        if not isinstance(value, dict | list):
            self.chars -= 8
            return value
        if not levels:
            self.is_cut = True
            return "…"
        if isinstance(value, list):
            return self._items(value, levels)
        return self._fields(value, levels)

    @property
    def _is_full(self) -> bool:
        return self.nodes <= 0 or self.chars <= 0

    def _text(self, value: str) -> str:
        if len(value) > self.chars:
            self.is_cut = True
            most = max(0, self.chars)
            kept = cut(value[: most + _WITHIN_A_SECRET], most)
            value = f"{kept}…(+{len(value) - len(kept)} characters)"
        self.chars -= len(value) + 2
        return value

    def _items(self, value: list[Any], levels: int) -> list[Any]:
        kept: list[Any] = []
        for item in value:
            if self._is_full:
                self.is_cut = True
                kept.append(f"…(+{len(value) - len(kept)} items)")
                break
            kept.append(self.copied(item, levels - 1))
        return kept

    def _fields(self, value: dict[str, Any], levels: int) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        fields = [*value.items()] if len(value) <= _MOST_SORTED else value.items()
        if isinstance(fields, list):
            fields.sort(key=lambda field: _is_long(field[1]))
        for name, item in fields:
            if self._is_full or len(name) > self.chars:
                self.is_cut = True
                kept["…"] = f"(+{len(value) - len(kept)} fields)"
                break
            self.chars -= len(name) + 4
            kept[name] = self.copied(item, levels - 1)
        order = [name for name in value if name in kept] if isinstance(fields, list) else []
        return {name: kept.pop(name) for name in order} | kept
