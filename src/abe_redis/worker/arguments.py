"""Refuses arguments of an `EventWorker` with which every event would fail, or none would be handled."""

import inspect

from abe_redis.errors import SettingsError
from abe_redis.streams.names import Patterns, check_stream


def check_arguments(
    backend: object, concurrency: object, policy: object, view: object, respond_to: str | None
) -> None:
    """Refuse arguments of an `EventWorker` that are not valid.

    Raises:
        SettingsError: One of them is not valid.
    """
    if not (hasattr(backend, "consume") and hasattr(backend, "settings")):
        raise SettingsError(
            f"EventWorker takes a backend first, not {type(backend).__name__!r}: make one with "
            "RedisMessageQueueBackend.from_env()."
        )
    if not isinstance(concurrency, int) or concurrency < 1:
        raise SettingsError(f"concurrency is {concurrency!r}; it must be a number, at least 1.")
    for name, given in (("policy", policy), ("view", view)):
        if given is not None and (not callable(given) or inspect.isclass(given)):
            raise SettingsError(f"{name} is {given!r}; it must be a function.")
    patterns: Patterns | None = getattr(backend, "patterns", None)
    if respond_to is not None and patterns is not None and patterns.match(check_stream(respond_to)):
        raise SettingsError(
            f"respond_to names {respond_to!r}, which this worker reads itself: every answer would come "
            f"back to the handler. Name a stream that is not among {patterns}."
        )
