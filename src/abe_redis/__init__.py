"""Slack events through Redis Streams: accepted once, processed at least once.

The names below are the public ones. Each is loaded on first use, so that `import abe_redis`
costs a bot nothing until it asks for something.
"""

from importlib import import_module

TYPE_CHECKING = False  # importing typing would take longer than all of this
if TYPE_CHECKING:
    from typing import Any

    from abe_redis.backend import RedisMessageQueueBackend
    from abe_redis.consuming.event_stream import EventStream
    from abe_redis.errors import AbeRedisError
    from abe_redis.events.event import Event
    from abe_redis.events.view import slack_event
    from abe_redis.operations.operations import Operations
    from abe_redis.settings import Settings
    from abe_redis.sync_backend import SyncBackend
    from abe_redis.worker.event_worker import EventWorker
    from abe_redis.worker.retry import Backoff, Bury, Drop, Retry

__all__ = [
    "AbeRedisError",
    "Backoff",
    "Bury",
    "Drop",
    "Event",
    "EventStream",
    "EventWorker",
    "Operations",
    "RedisMessageQueueBackend",
    "Retry",
    "Settings",
    "SyncBackend",
    "slack_event",
]

_HOMES = {
    "AbeRedisError": "errors",
    "Backoff": "worker.retry",
    "Bury": "worker.retry",
    "Drop": "worker.retry",
    "Event": "events.event",
    "EventStream": "consuming.event_stream",
    "EventWorker": "worker.event_worker",
    "Operations": "operations.operations",
    "RedisMessageQueueBackend": "backend",
    "Retry": "worker.retry",
    "Settings": "settings",
    "SyncBackend": "sync_backend",
    "slack_event": "events.view",
}


def __dir__() -> list[str]:
    """The public names, too, so that `help(abe_redis)` and completion show them."""
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> "Any":  # noqa: ANN401 - whatever the name stands for
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
