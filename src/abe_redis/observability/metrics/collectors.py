"""The metrics: the work of this process, and the state of the queue at the time of the scrape.

`docs/metrics.md` lists every one; a test compares.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import override

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    PlatformCollector,
    ProcessCollector,
)
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from abe_redis.events.codec import Fields
from abe_redis.events.event import Event
from abe_redis.events.published import Published
from abe_redis.observability.hooks import (
    OF_STRANGERS,
    CallOutcome,
    EndOfCall,
    EndOfHandling,
    EndOfOverdue,
    EndOfPublishing,
    EndOfReceiving,
    Fate,
    Observer,
    Outcome,
)
from abe_redis.observability.metrics.series import SeriesOfStreams
from abe_redis.schemas import GroupStats, OutboxStats, ServerMemory, StreamStats

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
_WAITS = (*_SECONDS, 900, 3600, 21_600, 86_400)


class Metrics(Observer):
    """Counts what this process does."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        """All metrics of this process; a program may add its own."""
        self.of_streams = SeriesOfStreams()
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self.registry)
        self._received = Counter(
            "abe_redis_received",
            "Requests and messages that came in, from Slack or somebody else.",
            ["door"],
            registry=self.registry,
        )
        self._queued = Counter(
            "abe_redis_queued",
            "Payloads that Slack sent and that Redis or the outbox has.",
            ["door", "stream"],
            registry=self.registry,
        )
        self._refused = Counter(
            "abe_redis_refused",
            "Requests that were refused, from Slack or somebody else; Slack may send events again.",
            ["door", "reason"],
            registry=self.registry,
        )
        self._answer_seconds = Histogram(
            "abe_redis_answer_seconds",
            "Time until Slack had its answer.",
            ["door"],
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._published = self._counter(
            "published",
            "Events that were published; outcome: added, duplicate or kept (in the outbox).",
            "outcome",
        )
        self._publish_failures = self._counter(
            "publish_failures", "Events that could not be published.", "error"
        )
        self._publish_seconds = self._histogram("publish", "Time until an event was accepted.", _SECONDS)
        self._handled = self._counter(
            "handled",
            "Deliveries to a handler; outcome: done, retried, buried, dropped, lost or given_back.",
            *("group", "outcome"),
        )
        self._handler_seconds = self._histogram("handler", "Run time of a handler.", _SECONDS, "group")
        self._wait_seconds = self._histogram(
            "wait", "Time from an event's publication until its handler was called.", _WAITS, "group"
        )
        self._at_work = Gauge(
            "abe_redis_handlers_at_work",
            "Handlers that run now.",
            ["stream", "group"],
            registry=self.registry,
        )
        self._overdue = Gauge(
            "abe_redis_handlers_overdue",
            "Handlers that go on beyond their time limit or without their lease, and keep their place.",
            ["stream", "group"],
            registry=self.registry,
        )
        self._calls = Counter(
            "abe_redis_tool_calls",
            "Tool calls of agents; outcome: done, refused or failed.",
            ["tool", "outcome"],
            registry=self.registry,
        )
        self._call_seconds = Histogram(
            "abe_redis_tool_seconds",
            "Run time of an agent's tool call.",
            ["tool"],
            buckets=_SECONDS,
            registry=self.registry,
        )

    def _counter(self, name: str, words: str, *labels: str) -> Counter:
        return Counter(f"abe_redis_{name}", words, ["stream", *labels], registry=self.registry)

    def _histogram(self, name: str, words: str, buckets: Sequence[float], *labels: str) -> Histogram:
        return Histogram(
            f"abe_redis_{name}_seconds",
            words,
            ["stream", *labels],
            buckets=buckets,
            registry=self.registry,
        )

    @override
    def receiving(self, door: str) -> EndOfReceiving | None:
        began = time.monotonic()
        self._received.labels(door).inc()

        def end(fate: Fate, reason: str) -> None:
            if reason not in OF_STRANGERS:
                self._answer_seconds.labels(door).observe(time.monotonic() - began)
            if fate == "queued":
                self.of_streams.of(self._queued, door, reason, stream=reason).inc()
            elif fate == "refused":
                self._refused.labels(door, reason).inc()

        return end

    @override
    def publishing(self, stream: str, entries: Sequence[Fields]) -> EndOfPublishing | None:
        began, of = time.monotonic(), self.of_streams.of

        def end(published: Sequence[Published], error: BaseException | None) -> None:
            of(self._publish_seconds, stream, stream=stream).observe(time.monotonic() - began)
            for one in published:
                outcome = "duplicate" if one.duplicate else "kept" if one.is_kept else "added"
                of(self._published, stream, outcome, stream=stream).inc()
            if error is not None:
                failed = len(entries) - len(published)
                of(self._publish_failures, stream, type(error).__name__, stream=stream).inc(failed)

        return end

    @override
    def handling(self, event: Event) -> EndOfHandling | None:
        stream, group, of = event.stream, event.group, self.of_streams.of
        self.of_streams.begin(stream)
        began, at_work = time.monotonic(), of(self._at_work, stream, group, stream=stream)
        at_work.inc()
        published_at = int(event.id.partition("-")[0]) / 1000
        of(self._wait_seconds, stream, group, stream=stream).observe(max(0.0, time.time() - published_at))

        def end(outcome: Outcome, error: Exception | None) -> None:
            del error
            at_work.dec()
            of(self._handler_seconds, stream, group, stream=stream).observe(time.monotonic() - began)
            of(self._handled, stream, group, outcome, stream=stream).inc()
            self.of_streams.end(stream)

        return end

    @override
    def overdue(self, event: Event) -> EndOfOverdue | None:
        stream = event.stream
        self.of_streams.begin(stream)
        gauge = self.of_streams.of(self._overdue, stream, event.group, stream=stream)
        gauge.inc()

        def end() -> None:
            gauge.dec()
            self.of_streams.end(stream)

        return end

    @override
    def calling(self, tool: str) -> EndOfCall | None:
        began = time.monotonic()

        def end(outcome: CallOutcome) -> None:
            self._calls.labels(tool, outcome).inc()
            self._call_seconds.labels(tool).observe(time.monotonic() - began)

        return end


class QueueMetrics(Collector):
    """The state of the queue at one scrape."""

    def __init__(self) -> None:
        self.streams: Sequence[StreamStats] = ()
        self.memory: Sequence[ServerMemory] = ()
        self.outbox: OutboxStats | None = None
        self.reachable = False

    @override
    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily(
            "abe_redis_up", "Whether Redis answered the scrape (1) or not (0).", self.reachable
        )
        if self.outbox is not None:
            for name, value in (("waiting", self.outbox.waiting), ("refused", self.outbox.refused)):
                yield GaugeMetricFamily(
                    f"abe_redis_outbox_{name}", f"Events in this machine's outbox that are {name}.", value
                )
            yield GaugeMetricFamily(
                "abe_redis_outbox_oldest_waiting_seconds",
                "Age of the oldest event in this machine's outbox that is waiting; 0 when there is none.",
                self.outbox.oldest_waiting_seconds,
            )
        yield from self._of_servers()
        for kind, name, words, of_stream in _OF_STREAMS:
            family = kind(f"abe_redis_stream_{name}", words, labels=["stream"])
            for one in self.streams:
                if (of_it := of_stream(one)) is not None:
                    family.add_metric([one.stream], of_it)
            yield family
        for kind, name, words, of_group in _OF_GROUPS:
            family = kind(f"abe_redis_group_{name}", words, labels=["stream", "group"])
            for one in self.streams:
                for group in one.groups:
                    if (of_it := of_group(group)) is not None:
                        family.add_metric([one.stream, group.name], of_it)
            yield family

    def _of_servers(self) -> Iterable[Metric]:
        for name, words, of_server in _OF_SERVERS:
            family = GaugeMetricFamily(f"abe_redis_server_{name}", words, labels=["server"])
            for one in self.memory:
                family.add_metric([one.server], of_server(one))
            yield family


class Exposed(Collector):
    """What a scrape shows: the work of this process, and the state of the queue.

    A scrape may be written out in a thread while another one reads the queue, so each has its own state.
    """

    def __init__(self, process: CollectorRegistry, queue: QueueMetrics) -> None:
        self._process = process
        self._queue = queue

    @override
    def collect(self) -> Iterable[Metric]:
        yield from self._process.collect()
        yield from self._queue.collect()


_OF_SERVERS: tuple[tuple[str, str, Callable[[ServerMemory], float]], ...] = (
    ("memory_used_bytes", "Memory that Redis uses.", lambda one: one.used_bytes),
    (
        "memory_max_bytes",
        "Memory that Redis may use (maxmemory); 0 when nothing bounds it.",
        lambda one: one.max_bytes or 0,
    ),
)

type _Kind = type[GaugeMetricFamily | CounterMetricFamily]

_OF_STREAMS: tuple[tuple[_Kind, str, str, Callable[[StreamStats], float | None]], ...] = (
    (
        GaugeMetricFamily,
        "entries",
        "Entries, finished history included.",
        lambda one: one.length,
    ),
    (CounterMetricFamily, "added", "Entries ever added.", lambda one: one.added),
    (GaugeMetricFamily, "bytes", "Memory that the stream takes in Redis.", lambda one: one.memory_bytes),
    (GaugeMetricFamily, "dead_letters", "Events that a group gave up on.", lambda one: one.dead_letters),
    (
        GaugeMetricFamily,
        "full",
        "Whether it takes no event, so that every publish is refused (1), as when it is full, or not (0).",
        lambda one: one.full_at is not None or one.last_id_for_spent is not None,
    ),
)

_OF_GROUPS: tuple[tuple[_Kind, str, str, Callable[[GroupStats], float | None]], ...] = (
    (
        GaugeMetricFamily,
        "pending",
        "Entries given to the group and not acked: held, postponed or free.",
        lambda one: one.pending,
    ),
    (GaugeMetricFamily, "lag", "Entries not delivered yet.", lambda one: one.lag),
    (
        GaugeMetricFamily,
        "oldest_pending_seconds",
        "Age of the oldest pending entry; 0 when there is none.",
        lambda one: one.oldest_pending_seconds or 0,
    ),
    (
        GaugeMetricFamily,
        "oldest_undelivered_seconds",
        "Age of the oldest entry that is not delivered yet; 0 when there is none.",
        lambda one: one.oldest_undelivered_seconds or 0,
    ),
    (
        GaugeMetricFamily,
        "oldest_held_seconds",
        "The longest time for which a consumer has held an event, renewals included; 0 when none does.",
        lambda one: one.oldest_held_seconds or 0,
    ),
    (
        CounterMetricFamily,
        "lost",
        "Entries that were removed before the group had finished them.",
        lambda one: one.lost,
    ),
    (
        GaugeMetricFamily,
        "consumers",
        "Workers that sent a command or a sign of life within their lease.",
        lambda one: len(one.workers),
    ),
    (GaugeMetricFamily, "paused", "Whether the group is paused.", lambda one: one.paused),
)
