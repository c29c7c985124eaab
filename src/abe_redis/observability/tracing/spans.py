"""Spans from webhook to handler, joined through the entry, by OpenTelemetry's conventions for messaging.

https://opentelemetry.io/docs/specs/semconv/messaging/messaging-spans/: publishing is a span of kind PRODUCER
whose context travels in the entry's fields `traceparent` and `tracestate`. Handling is a child span of kind
CONSUMER, and is current while the handler runs.
"""

from collections.abc import Sequence
from importlib.metadata import version
from typing import override

from opentelemetry import context, trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from abe_redis.events.codec import Fields
from abe_redis.events.event import Event
from abe_redis.events.published import Published
from abe_redis.observability.hooks import EndOfHandling, EndOfPublishing, Observer, Outcome
from abe_redis.sanitize.exceptions import describe
from abe_redis.sanitize.exceptions import trace as stack_of

_PROPAGATOR = TraceContextTextMapPropagator()
_DONE: set[Outcome] = {"done", "dropped", "given_back"}


class Tracing(Observer):
    """Creates the spans. The program configures where they go."""

    def __init__(self) -> None:
        self._tracer = trace.get_tracer("abe_redis", version("abe-redis"))

    @override
    def publishing(self, stream: str, entries: Sequence[Fields]) -> EndOfPublishing | None:
        span = self._tracer.start_span(
            f"publish {stream}",
            kind=SpanKind.PRODUCER,
            attributes=_about(stream, "publish", "send")
            | ({"messaging.batch.message_count": len(entries)} if len(entries) != 1 else {}),
        )
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier, trace.set_span_in_context(span))
        for fields in entries:
            fields.update((name.encode(), value.encode()) for name, value in carrier.items())

        def end(published: Sequence[Published], error: BaseException | None) -> None:
            if len(published) == 1:
                span.set_attribute("messaging.message.id", published[0].id)
                span.set_attribute("abe_redis.duplicate", published[0].duplicate)
            if error is not None:
                _fail(span, error)
            span.end()

        return end

    @override
    def handling(self, event: Event) -> EndOfHandling | None:
        span = self._tracer.start_span(
            f"process {event.stream}",
            context=_PROPAGATOR.extract(event.trace),
            kind=SpanKind.CONSUMER,
            attributes=_about(event.stream, "process", "process")
            | {
                "messaging.consumer.group.name": event.group,
                "messaging.message.id": event.id,
                "abe_redis.deliveries": event.deliveries,
            },
        )
        token = context.attach(trace.set_span_in_context(span))

        def end(outcome: Outcome, error: Exception | None) -> None:
            context.detach(token)
            span.set_attribute("abe_redis.outcome", outcome)
            if error is not None:
                _fail(span, error)
            elif outcome not in _DONE:
                span.set_status(Status(StatusCode.ERROR, outcome))
            span.end()

        return end


def _about(stream: str, operation: str, kind: str) -> dict[str, str | int]:
    return {
        "messaging.system": "redis",
        "messaging.destination.name": stream,
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
    }


def _fail(span: Span, error: BaseException) -> None:
    """Record a failure by hand, since `record_exception` could write a secret."""
    facts = {"exception.type": type(error).__qualname__}
    if isinstance(error, Exception):
        facts |= {"exception.message": describe(error), "exception.stacktrace": stack_of(error)}
    span.add_event("exception", facts)
    span.set_attribute("error.type", type(error).__qualname__)
    span.set_status(Status(StatusCode.ERROR, facts.get("exception.message")))
