"""Metrics, as those who scrape them get them."""

import json
import os
import re
import signal
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.hosts import forking
from tests.hosts.processes import Child, until
from tests.integration.cli.command_runs import run
from tests.patience import PATIENCE
from tests.servers import HOST, Server, free_port


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
        [*forking.ours("-W", "error"), *command.split()],
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
    command = [*forking.ours("-W", "error"), "-m", "abe_redis", "mcp", "--metrics-port", str(port)]
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
