"""OpenTelemetry spans, in programs that have set it up; other programs load nothing."""

import sys
from functools import cache

from abe_redis.observability import hooks


def trace_if_wanted() -> None:
    """Add the OpenTelemetry observer if the program has set it up. Each queue and each worker calls this."""
    telemetry = sys.modules.get("opentelemetry.trace")  # redis-py loads the API wherever it is installed
    if telemetry is None:
        return
    if not isinstance(telemetry.get_tracer_provider(), telemetry.ProxyTracerProvider):
        _trace()


@cache
def _trace() -> None:
    """Add it, once."""
    from abe_redis.observability.tracing.spans import Tracing  # noqa: PLC0415 - only for programs that trace

    hooks.watch(Tracing())
