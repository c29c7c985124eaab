"""Refuses arguments of an `EventWorker` that would make every event fail, or handle none."""

import inspect
from collections.abc import Mapping
from typing import Any

from abe_redis.errors import SettingsError
from abe_redis.streams.names import Patterns, check_group, check_stream


def check_arguments(
    backend: object,
    *,
    group: str | None,
    concurrency: object,
    functions: Mapping[str, object],
    seconds: Mapping[str, Any],
    respond_to: str | None,
    ordered: object,
    refuse_origins: object,
) -> None:
    """Refuse arguments of an `EventWorker` that are not valid.

    Raises:
        SettingsError: One of them is not valid.
        InvalidNameError: A name is not allowed.
        ValueError: A time is none.
    """
    if not (hasattr(backend, "consume") and hasattr(backend, "settings")):
        raise SettingsError(
            f"EventWorker takes a backend first, not {type(backend).__name__!r}: make one with "
            "RedisMessageQueueBackend.from_env()."
        )
    if not isinstance(concurrency, int) or concurrency < 1:
        raise SettingsError(f"concurrency is {concurrency!r}; it must be a number, at least 1.")
    _check_kinds(functions, seconds)
    if not isinstance(ordered, bool):
        raise SettingsError(f"ordered is {ordered!r}; it must be True or False.")
    if isinstance(refuse_origins, str):
        raise SettingsError(
            f"refuse_origins is the text {refuse_origins!r}; it must be a list, [{refuse_origins!r}]."
        )
    if group:
        check_group(group)
    patterns: Patterns | None = getattr(backend, "patterns", None)
    if respond_to is not None and patterns is not None and patterns.match(check_stream(respond_to)):
        raise SettingsError(
            f"respond_to names {respond_to!r}, which this worker reads itself: every answer would come "
            f"back to the handler. Name a stream that is not among {patterns}."
        )


def _check_kinds(functions: Mapping[str, object], seconds: Mapping[str, Any]) -> None:
    for name, given in functions.items():
        if given is not None and (not callable(given) or inspect.isclass(given)):
            raise SettingsError(f"{name} is {given!r}; it must be a function.")
    for name, given in seconds.items():
        if given is not None and not (isinstance(given, int | float) and given >= 0):
            raise ValueError(f"{name} is {given!r}; it must be a number of seconds.")
