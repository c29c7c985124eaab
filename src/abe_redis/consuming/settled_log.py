"""Logs what a handler did with its event; quietly where the worker has said so."""

import logging

from abe_redis.events.event import Event
from abe_redis.events.log_fields import of_event

_LOG = logging.getLogger("abe_redis.consuming.group_consumer")


def given_back(event: Event, reason: str | None, *, is_said: bool) -> None:
    """It was given back."""
    level = logging.DEBUG if is_said else logging.INFO
    why = reason or "no reason given"
    _LOG.log(level, "Gave back event %s of %r: %s", event.id, event.stream, why, extra=of_event(event))


def buried(event: Event, reason: str, *, is_said: bool) -> None:
    """It was buried."""
    level = logging.DEBUG if is_said else logging.WARNING
    _LOG.log(level, "Buried event %s of %r: %s", event.id, event.stream, reason, extra=of_event(event))
