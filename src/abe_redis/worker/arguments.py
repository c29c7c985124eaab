"""Refuses arguments of an `EventWorker` that would make every event fail, or handle none."""

import logging
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from abe_redis.errors import SettingsError
from abe_redis.events.codec import AGENT
from abe_redis.runtime.arguments import (
    check_count,
    check_flag,
    check_function,
    check_seconds,
    check_text,
    each,
)
from abe_redis.runtime.likeness import did_you_mean
from abe_redis.streams.names import check_group
from abe_redis.streams.patterns import check_one_stream

if TYPE_CHECKING:
    from abe_redis.streams.patterns import Patterns

MOST_CONCURRENT = 10_000
"""Each of them is a task."""

LEAST_TIMEOUT_SECONDS = 0.001

_LOG = logging.getLogger(__name__)

_ORIGINS = (AGENT, "cli")
"""The origins that our own programs write."""
_LIKENESS = 0.6


def tell_of_origins(origins: Iterable[str]) -> None:
    """Log which refused origins none of our programs writes: a mistyped one protects from nothing."""
    for origin in origins:
        if origin in _ORIGINS:
            continue
        meant = did_you_mean(origin.lower(), _ORIGINS, likeness=_LIKENESS)
        _LOG.log(
            logging.WARNING if meant else logging.INFO,
            "Events have the origin %r, which this worker refuses, only if a program publishes them with it: "
            "those of agents have 'mcp', those of commands 'cli', and those of Slack none.%s",
            origin,
            meant,
        )


def check_arguments(
    backend: object,
    *,
    group: str | None,
    concurrency: int,
    policy: object,
    view: object,
    handler_timeout: float | None,
    drain_seconds: float,
    respond_to: str | None,
    ordered: bool,
    refuse_origins: Collection[str],
) -> None:
    """Refuse arguments of an `EventWorker` that are not valid.

    Raises:
        SettingsError: One of them is not valid.
        InvalidNameError: A name is not allowed.
    """
    if not (hasattr(backend, "consume") and hasattr(backend, "settings")):
        raise SettingsError(
            f"EventWorker takes a backend first, not {type(backend).__name__!r}: make one with "
            "RedisMessageQueueBackend.from_env()."
        )
    check_count("concurrency", concurrency, most=MOST_CONCURRENT)
    if policy is not None:
        check_function("policy", policy, "an event", "an exception")
    if view is not None:
        check_function("view", view, "an event")
    if handler_timeout is not None:
        check_seconds("handler_timeout", handler_timeout, least=LEAST_TIMEOUT_SECONDS)
    check_seconds("drain_seconds", drain_seconds)
    check_flag("ordered", ordered)
    if isinstance(refuse_origins, str):
        raise SettingsError(
            f"refuse_origins is the text {refuse_origins!r}; it must be a list, [{refuse_origins!r}]."
        )
    for origin in each("refuse_origins", refuse_origins, members="texts", kind=SettingsError):
        check_text("A member of refuse_origins", origin, kind=SettingsError)
    if group is not None:
        check_group(group)
    if respond_to is not None:
        check_one_stream(respond_to, "respond_to")
    patterns: Patterns | None = getattr(backend, "patterns", None)
    if respond_to is not None and patterns is not None and patterns.match(respond_to):
        raise SettingsError(
            f"respond_to names {respond_to!r}, which this worker reads itself: every answer would come "
            f"back to the handler. Name a stream that is not among {patterns}."
        )
