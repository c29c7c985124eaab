"""What a log record says about an event in fields of their own, for `--log-format json`."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from abe_redis.events.event import Event


def of(stream: str, entry_id: str | None = None, group: str | None = None) -> dict[str, object]:
    """The `extra` of a record about a stream, an entry of it, or a group."""
    facts = {"stream": stream, "entry_id": entry_id, "group": group}
    return {name: fact for name, fact in facts.items() if fact is not None}


def of_event(event: "Event") -> dict[str, object]:
    """The `extra` of a record about a delivery."""
    return of(event.stream, event.id, event.group) | {"delivery": event.deliveries}
