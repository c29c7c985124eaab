"""One trial: so many primaries, workers and events a second, and what it cost."""

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.hosts.processes import Child
from tests.servers import Server
from tests.topologies import Cluster, wait_until

ROOT = Path(__file__).parents[2]
PARTITIONS = 16
PUBLISHERS = 2
GROUP = "workers"
SETTLE_SECONDS = 3.0
"""In which every worker finds every partition, or takes its share of them."""
PATIENCE = 300.0


@dataclass(frozen=True, slots=True)
class Load:
    """What a trial does."""

    primaries: int
    """1 is a server by itself; more are a cluster."""
    workers: int
    per_second: float
    seconds: float
    ordered: bool = False
    backlog: int = 0
    """So many events are there before the first worker is; nothing is published then."""
    warm_up: int = 0
    """So many events are handled before the trial: the first event of each stream, and of each hash in which
    ids are remembered, costs more than the others."""

    @property
    def events(self) -> int:
        """How many events are handled."""
        return self.backlog or PUBLISHERS * round(self.per_second / PUBLISHERS * self.seconds)


@dataclass(frozen=True, slots=True)
class Costs:
    """What a trial used, from the first event to the end of the last."""

    load: Load
    seconds: float
    server_cpu: tuple[float, ...]
    """CPU seconds of each primary."""
    server_in: int
    """Bytes that the primaries received."""
    server_out: int
    """Bytes that they sent."""
    commands: int
    """Commands that they carried out."""
    connections: tuple[int, ...]
    """Clients of each primary."""
    worker_cpu: float
    publisher_cpu: float
    worker_megabytes: float
    """The most memory that one had."""

    def to_json(self) -> dict[str, Any]:
        """Everything, by name."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Memory:
    """What an event takes in Redis."""

    entry: float
    """Bytes of it in its stream."""
    remembered: float
    """Bytes of its remembered `event_id`."""


def measure(binary: Path, load: Load) -> Costs:
    """Play a trial on servers of its own.

    Raises:
        AssertionError: Not all was handled, or something twice.
    """
    with _servers(binary, load.primaries) as (url, servers):
        variables = _environment(url)
        publishers = [_start("publish", number, variables) for number in range(PUBLISHERS)]
        workers: list[Child] = []
        try:
            early = max(load.backlog or load.warm_up, 10 * PUBLISHERS)
            _ask(publishers, f"{early / PUBLISHERS} 1")
            workers = [_start("consume", int(load.ordered), variables) for _ in range(load.workers)]
            if not load.backlog:
                _ask(workers, "begin")
                _wait_until_handled(workers, [{"done": 0}], early)
                time.sleep(SETTLE_SECONDS)  # until the streams are found, and shared
            began = time.monotonic()
            before = (_used(servers), _ask(workers), _ask(publishers))
            connections = tuple(_connections(server) for server in servers)
            if load.per_second:
                _ask(publishers, f"{load.per_second / PUBLISHERS} {load.seconds}")
            elif not load.backlog:
                time.sleep(load.seconds)
            _wait_until_handled(workers, before[1], load.events)
            wait_until(lambda: _is_done(servers), "every ack", seconds=PATIENCE)
            after = _used(servers), _ask(workers), _ask(publishers)
            seconds = time.monotonic() - began
        finally:
            for child in (*workers, *publishers):
                child.close()
    handled = _more(before[1], after[1], "done")
    if handled != load.events:
        raise AssertionError(f"{handled:g} of {load.events} events were handled in {load}.")
    (cpu, received, sent, commands), (cpu_0, received_0, sent_0, commands_0) = after[0], before[0]
    return Costs(
        load=load,
        seconds=seconds,
        server_cpu=tuple(end - start for end, start in zip(cpu, cpu_0, strict=True)),
        server_in=received - received_0,
        server_out=sent - sent_0,
        commands=commands - commands_0,
        connections=connections,
        worker_cpu=_more(before[1], after[1], "cpu"),
        publisher_cpu=_more(before[2], after[2], "cpu"),
        worker_megabytes=max(one["megabytes"] for one in after[1]),
    )


def measure_memory(binary: Path, events: int) -> Memory:
    """Publish events to a server, and see what they take there."""
    with _servers(binary, 1) as (url, (server,)):
        publisher = _start("publish", 1, _environment(url) | {"REDIS_STREAM_PARTITIONS": "1"})
        try:
            with server.admin() as client:
                before = client.info("memory")["used_memory"]
                _ask([publisher], f"{events / 2} 2")
                whole = client.info("memory")["used_memory"] - before
                stream = client.memory_usage("slack_events", samples=0)
                entries = client.xlen("slack_events")
        finally:
            publisher.close()
    return Memory(entry=stream / entries, remembered=(whole - stream) / events)


@contextmanager
def _servers(binary: Path, primaries: int) -> Iterator[tuple[str, Sequence[Server]]]:
    if primaries == 1:
        with Server(binary) as server:
            yield server.url, [server]
    else:
        with Cluster(binary, primaries=primaries, replicas=False) as cluster:
            yield cluster.url, cluster.primaries()


def _environment(url: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
    return kept | {
        "REDIS_URL": url,
        "REDIS_STREAM_PARTITIONS": str(PARTITIONS),
        "REDIS_STREAM_MAXLEN": "1000000",
    }


def _start(role: str, number: int, variables: dict[str, str]) -> Child:
    command = [sys.executable, "-m", "benchmarks.sizing.actors", role, str(number)]
    child = Child(command, cwd=ROOT, variables=variables, stderr=Path(os.devnull))
    child.line(0)
    return child


def _ask(children: Sequence[Child], what: str = "?") -> list[dict[str, float]]:
    answered = [len(child.lines) for child in children]
    for child in children:
        child.send(what)
    return [
        json.loads(child.line(number, seconds=PATIENCE))
        for child, number in zip(children, answered, strict=True)
    ]


def _wait_until_handled(workers: Sequence[Child], before: Sequence[dict[str, float]], events: int) -> None:
    """Ask the workers, and not Redis, for that would cost it something."""
    deadline = time.monotonic() + PATIENCE
    while _more(before, _ask(workers), "done") < events:
        if time.monotonic() > deadline:
            raise AssertionError(f"{events} events were not handled within {PATIENCE:g} s.")
        time.sleep(0.05)


def _more(before: Sequence[dict[str, float]], after: Sequence[dict[str, float]], what: str) -> float:
    return sum(one[what] for one in after) - sum(one[what] for one in before)


def _used(servers: Sequence[Server]) -> tuple[list[float], int, int, int]:
    cpu, received, sent, commands = list[float](), 0, 0, 0
    for server in servers:
        with server.admin() as client:
            said = client.info("everything")
        cpu.append(said["used_cpu_user"] + said["used_cpu_sys"])
        received += said["total_net_input_bytes"]
        sent += said["total_net_output_bytes"]
        commands += said["total_commands_processed"]
    return cpu, received, sent, commands


def _connections(server: Server) -> int:
    with server.admin() as client:
        return int(client.info("clients")["connected_clients"]) - 1


def _is_done(servers: Sequence[Server]) -> bool:
    for server in servers:
        with server.admin() as client:
            for stream in client.scan_iter(match="slack_events*", _type="stream", count=10_000):
                for group in client.xinfo_groups(stream):
                    if group["pending"] or group["lag"]:
                        return False
    return True
