"""Spans of OpenTelemetry, for programs that have set it up; nothing is loaded in others."""

import sys
from functools import cache

from abe_redis.observability import hooks


def trace_if_wanted() -> None:
    """Let OpenTelemetry watch, if the program has set it up; asked whenever a queue or a worker begins."""
    telemetry = sys.modules.get("opentelemetry.trace")  # which redis-py loads wherever it is installed
    if telemetry is None:
        return
    if not isinstance(telemetry.get_tracer_provider(), telemetry.ProxyTracerProvider):
        _trace()


@cache
def _trace() -> None:
    """Begin to, once."""
    from abe_redis.observability.tracing.spans import Tracing  # noqa: PLC0415 - only for those who trace

    hooks.watch(Tracing())
