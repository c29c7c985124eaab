"""Traces, metrics and logs, as those who collect them get them."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abe_redis.observability.hooks import Observer, calling, handling, observed, publishing
from abe_redis.observability.metrics.collectors import Metrics, QueueMetrics
from tests.hosts.processes import Child, until
from tests.integration.cli.command_runs import run
from tests.patience import PATIENCE
from tests.servers import HOST, Server, free_port

ROOT = Path(__file__).parents[3]

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


# Metrics --------------------------------------------------------------------------------------------------


def scraped(port: int, path: str = "/metrics") -> str:
    with urllib.request.urlopen(f"http://{HOST}:{port}{path}", timeout=PATIENCE) as answer:
        text: str = answer.read().decode()
    return text


def value(text: str, sample: str) -> float:
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    assert found is not None, f"{sample} is not in\n{text}"
    return float(found[1])


@pytest.fixture
def worker(own_server: Server, tmp_path: Path) -> Iterator[tuple[Child, int]]:
    """A worker that shows its metrics, and whose events with `fail` fail twice."""
    (tmp_path / "bot.py").write_text(
        "async def handle(event):\n"
        "    if event.get('fail') and event.deliveries <= 2:\n"
        "        raise ValueError('no')\n"
        "    if event.get('bury'):\n"
        "        raise KeyError('never')\n",
        encoding="utf-8",
    )
    port = free_port()
    command = (
        f"-m abe_redis --log-format json worker bot:handle --group bots --view envelope --retry-first 0 "
        f"--metrics-port {port}"
    )
    child = Child(
        [sys.executable, "-W", "error", *command.split()],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": own_server.url, "REDIS_STREAM_MAX_DELIVERIES": "3"},
        stderr=tmp_path / "stderr",
    )
    with child:
        until(lambda: "Metrics are at" in child.stderr, "the worker to listen")
        yield child, port


def test_the_metrics_of_a_worker_can_be_scraped(
    worker: tuple[Child, int], own_server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    child, port = worker
    monkeypatch.setenv("REDIS_URL", own_server.url)
    for payload in ('{"n": 1}', '{"n": 2, "fail": true}', '{"n": 3, "bury": true}'):
        assert run("publish", payload).returncode == 0
    labels = 'group="bots",outcome="{}",stream="slack_events"'

    def count(outcome: str) -> float:
        sample = f"abe_redis_handled_total{{{labels.format(outcome)}}}"
        text = scraped(port)
        return value(text, sample) if sample in text else 0

    until(lambda: count("done") == 2 and count("buried") == 1, "the events to be handled")
    text = scraped(port)
    assert value(text, "abe_redis_up") == 1
    assert count("retried") == 4
    stream = '{stream="slack_events"}'
    group = '{group="bots",stream="slack_events"}'
    assert value(text, f"abe_redis_stream_dead_letters{stream}") == 1
    assert value(text, f"abe_redis_stream_added_total{stream}") == 3
    assert value(text, f"abe_redis_handler_seconds_count{group}") == 7
    assert value(text, f"abe_redis_wait_seconds_count{group}") == 7
    assert value(text, f"abe_redis_handlers_at_work{group}") == 0
    assert value(text, f"abe_redis_group_consumers{group}") == 1
    assert value(text, f"abe_redis_group_oldest_held_seconds{group}") >= 0
    server = f'{{server="{own_server.url}"}}'
    assert value(text, f"abe_redis_server_memory_used_bytes{server}") > 100_000
    assert value(text, f"abe_redis_server_memory_max_bytes{server}") == 0, "it has no maxmemory"
    until(lambda: value(scraped(port), f"abe_redis_group_pending{group}") == 0, "the acks")
    assert value(text, "process_resident_memory_bytes") > 0
    assert scraped(port, "/healthz") == "ok"

    own_server.stop()
    until(lambda: value(scraped(port), "abe_redis_up") == 0, "the scrape without Redis")
    own_server.start()
    until(lambda: value(scraped(port), "abe_redis_up") == 1, "the scrape with Redis")

    child.signal(signal.SIGTERM)
    assert child.wait() == 0
    for line in child.stderr.splitlines():
        record = json.loads(line)
        assert {"time", "level", "logger", "message", "template"} <= set(record)
    failures = [json.loads(line) for line in child.stderr.splitlines() if "failed at delivery" in line]
    assert len({record["template"] for record in failures}) == 1


def test_the_mcp_server_counts_its_calls(redis_url: str, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-W", "error", "-m", "abe_redis", "mcp", "--metrics-port", str(port)]
    child = Child(
        command, cwd=tmp_path, variables=os.environ | {"REDIS_URL": redis_url}, stderr=tmp_path / "stderr"
    )

    def call(number: int, method: str, **parameters: Any) -> None:
        message = {"jsonrpc": "2.0", "id": number, "method": method, "params": parameters}
        child.send(json.dumps(message))
        child.line(number)

    with child:
        until(lambda: scraped_or_none(port) == "ok", "the server to listen")
        call(
            0,
            "initialize",
            protocolVersion="2025-11-25",
            capabilities={},
            clientInfo={"name": "test", "version": "0"},
        )
        child.send('{"jsonrpc": "2.0", "method": "notifications/initialized"}')
        call(1, "tools/call", name="publish_event", arguments={"payload": {"type": "message"}})
        call(2, "tools/call", name="read_stream", arguments={"count": 0})
        call(3, "tools/call", name="no_such_tool", arguments={})
        text = scraped(port)
        for tool, outcome in (("publish_event", "done"), ("read_stream", "refused"), ("unknown", "refused")):
            assert value(text, f'abe_redis_tool_calls_total{{outcome="{outcome}",tool="{tool}"}}') == 1
        assert value(text, 'abe_redis_tool_seconds_count{tool="publish_event"}') == 1
        assert value(text, 'abe_redis_published_total{outcome="added",stream="slack_events"}') == 1
        assert value(text, 'abe_redis_stream_entries{stream="slack_events"}') == 1
        child.close_stdin()
        assert child.wait() == 0
        assert "Traceback" not in child.stderr


def scraped_or_none(port: int) -> str | None:
    try:
        return scraped(port, "/healthz")
    except OSError:
        return None


def test_a_port_that_is_taken_is_a_sentence(redis_url: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REDIS_URL", redis_url)
        taken = run("worker", "json:dumps", "--metrics-port", "1", "--metrics-host", "256.0.0.1")
    assert taken.returncode == 1
    assert "Cannot listen on 256.0.0.1:1" in taken.stderr
    assert "choose an address of this machine with --metrics-host" in taken.stderr


# What is documented ---------------------------------------------------------------------------------------


def exposed() -> dict[str, tuple[str, str]]:
    """Every metric of ours: its kind and what it says of itself."""
    metrics, queue = Metrics(), QueueMetrics()
    metrics.registry.register(queue)
    return {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in metrics.registry.collect()
        if family.name.startswith("abe_redis")
    }


def test_every_metric_is_documented_as_it_is() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(abe_redis\w+)` \| (\w+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    known = exposed() | {
        f"abe_redis_outbox_{name}": ("gauge", f"Events in this machine's outbox that are {name}.")
        for name in ("waiting", "refused")
    }
    assert {name: (kind, words) for name, kind, _, words in rows} == known


@pytest.mark.parametrize("path", ["docs/monitoring/alerts.yml", "docs/monitoring/grafana.json"])
def test_alerts_and_dashboard_ask_for_what_there_is(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    named = set(re.findall(r"\babe_redis_\w+", text))
    suffixes = ("", "_bucket", "_count", "_sum")
    known = {name + suffix for name in exposed() for suffix in suffixes} | {"abe_redis_outbox_waiting"}
    assert named <= known
    assert len(named) >= 5


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = json.loads((ROOT / "docs/monitoring/grafana.json").read_text(encoding="utf-8"))
    assert board["schemaVersion"] >= 39
    assert board["uid"] == "abe-redis"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert {variable["name"] for variable in board["templating"]["list"]} >= {"datasource", "stream"}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, "panels lie over each other"
        taken |= cells
        assert panel["type"] == "row" or all(
            target["datasource"]["uid"] == "${datasource}" for target in panel["targets"]
        )


# The seam -------------------------------------------------------------------------------------------------


def test_an_observer_may_hear_without_saying_anything() -> None:
    assert publishing("s", []) is None
    with observed(Observer()):
        end_of_publishing, end_of_call = publishing("s", []), calling("t")
        assert end_of_publishing is not None
        assert end_of_call is not None
        end_of_publishing([], None)
        end_of_call("done")
    assert calling("t") is None
    assert handling.__doc__
