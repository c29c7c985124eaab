"""Logs a handler's failure: one line, and the traceback on request."""

import logging

from abe_redis.events.event import Event
from abe_redis.events.log_fields import of_event
from abe_redis.sanitize.exceptions import describe, place, trace
from abe_redis.worker.retry import Decision

_LOG = logging.getLogger("abe_redis.worker.event_worker")


class _Hint:
    """Says once per process how to see tracebacks."""

    def __init__(self) -> None:
        self._is_given = False

    def give(self) -> None:
        if not self._is_given and not _LOG.isEnabledFor(logging.DEBUG):
            _LOG.info(
                "The logger 'abe_redis' at DEBUG logs the traceback of each failure, as `abe-redis -v "
                "worker` and `abe-redis --log-format json worker` do; a dead letter keeps its end, which "
                "`abe-redis dead show ID` shows."
            )
        self._is_given = True


_HINT = _Hint()


def tell(event: Event, error: Exception, decision: Decision) -> str:
    """Log a failure, and return its traceback."""
    at, stack = place(error), trace(error)
    _LOG.warning(
        "The handler of %s of %r failed at delivery %s with %s%s; %s.",
        *(event.id, event.stream, event.deliveries, describe(error)),
        *(f" at {at}" if at else "", decision),
        extra=of_event(event) | {"exception": {"type": type(error).__qualname__, "trace": stack}},
    )
    told = (event.id, event.stream, stack)
    _LOG.debug("Where the handler of %s of %r failed:\n%s", *told, extra=of_event(event))
    _HINT.give()
    return stack
