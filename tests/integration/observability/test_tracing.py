"""Traces, as those who collect them get them."""

import json
import os
import subprocess
import sys
from typing import Any

TRACED = """
import asyncio, json, sys
{imports}
from abe_redis import EventWorker, RedisMessageQueueBackend, Backoff

async def main():
    async with RedisMessageQueueBackend.from_env() as backend:
        set_up()
        seen = []
        async def handle(event):
            with maybe_span("the handler's own"):
                seen.append(event)
            if event["n"] == 2 and event.deliveries == 1:
                raise ValueError("token xoxb-1234567890-abc is wrong")
        with maybe_span("the webhook"):
            await backend.publish("slack_events", {{"n": 1}})
        await backend.publish_many("slack_events", [{{"n": 2}}, {{"n": 3}}])
        worker = EventWorker(backend, handle, group="bot", policy=Backoff(first=0))
        async with asyncio.timeout(120), asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            while worker.handled < 3:
                await asyncio.sleep(0.01)
            await worker.shutdown()
        return [dict(event.trace) for event in seen]

traces = asyncio.run(main())
print(json.dumps({{"traces": traces, "spans": spans(), "loaded": sorted(sys.modules)}}))
"""
WITH_SDK = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
exporter = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.set_tracer_provider(provider)
maybe_span = trace.get_tracer("test").start_as_current_span
def set_up():
    pass
def spans():
    return [json.loads(span.to_json()) for span in exporter.get_finished_spans()]
"""
WITH_SDK_LATER = WITH_SDK.replace("trace.set_tracer_provider(provider)", "").replace(
    "    pass", "    trace.set_tracer_provider(provider)"
)
WITHOUT = """
from contextlib import nullcontext as maybe_span
def set_up():
    pass
def spans():
    return []
"""


def traced(imports: str, redis_url: str) -> dict[str, Any]:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", TRACED.format(imports=imports)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"REDIS_URL": redis_url},
    )
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def test_spans_go_from_the_webhook_to_the_handler(redis_url: str) -> None:
    spans = traced(WITH_SDK, redis_url)["spans"]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for span in spans:
        by_name.setdefault(span["name"], []).append(span)
    assert {name: len(found) for name, found in by_name.items()} == {
        "the webhook": 1,
        "publish slack_events": 2,
        "process slack_events": 4,
        "the handler's own": 4,
    }
    (webhook,) = by_name["the webhook"]
    alone, together = by_name["publish slack_events"]
    assert alone["parent_id"] == webhook["context"]["span_id"]
    assert together["attributes"]["messaging.batch.message_count"] == 2
    processed = sorted(by_name["process slack_events"], key=lambda span: span["start_time"])
    first = processed[0]
    assert first["parent_id"] == alone["context"]["span_id"]
    assert first["context"]["trace_id"] == webhook["context"]["trace_id"]
    assert {span["parent_id"] for span in processed[1:]} == {together["context"]["span_id"]}
    own = {span["parent_id"] for span in by_name["the handler's own"]}
    assert own == {span["context"]["span_id"] for span in processed}
    assert alone["kind"] == "SpanKind.PRODUCER"
    assert first["kind"] == "SpanKind.CONSUMER"
    assert first["attributes"] == {
        "messaging.system": "redis",
        "messaging.destination.name": "slack_events",
        "messaging.operation.name": "process",
        "messaging.operation.type": "process",
        "messaging.consumer.group.name": "bot",
        "messaging.message.id": alone["attributes"]["messaging.message.id"],
        "abe_redis.deliveries": 1,
        "abe_redis.outcome": "done",
    }
    (failed,) = [span for span in processed if span["status"]["status_code"] == "ERROR"]
    assert failed["attributes"]["abe_redis.outcome"] == "retried"
    assert failed["attributes"]["error.type"] == "ValueError"
    (exception,) = failed["events"]
    assert exception["attributes"]["exception.message"] == "ValueError: token *** is wrong"
    assert "xoxb" not in json.dumps(spans)


def test_a_program_may_set_tracing_up_before_its_worker_begins(redis_url: str) -> None:
    spans = traced(WITH_SDK_LATER, redis_url)["spans"]
    assert [span["name"] for span in spans].count("process slack_events") == 4


def test_where_nobody_traces_nothing_is_loaded_or_written(redis_url: str) -> None:
    found = traced(WITHOUT, redis_url)
    assert found["traces"] == [{}, {}, {}, {}]
    ours = ("abe_redis.observability.metrics", "abe_redis.observability.tracing.spans", "prometheus_client")
    assert not [name for name in found["loaded"] if name.startswith(ours)]
