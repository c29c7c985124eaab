"""Several real servers that belong together: a primary behind Sentinels, and a cluster."""

import contextlib
import random
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

import redis
from redis.cluster import RedisCluster
from redis.crc import key_slot

from tests.patience import PATIENCE
from tests.server_binaries import ServerError
from tests.servers import HOST, Server, free_port

_REPLICATION = {"repl-diskless-sync-delay": "0", "repl-timeout": "10", "repl-backlog-size": "16mb"}
SLOTS = 16_384
_SENTINEL = {"tilt-trigger": 60_000, "info-period": 200, "ask-period": 200}
"""Milliseconds. By default a Sentinel that could not run for two seconds does nothing for thirty."""
_PUBLISH = 500
"""Milliseconds between two words of a Sentinel about itself. After four of them, a former primary that still
takes writes is made a replica."""
_MEMORY = Path("/dev/shm")


def wait_until(condition: Callable[[], Any], what: str, *, seconds: float = 2 * PATIENCE) -> Any:
    """Wait for something true, and return it; a server that does not answer is not ready."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(redis.RedisError, ServerError):
            if found := condition():
                return found
        time.sleep(0.02)
    raise ServerError(f"{what}: not within {seconds:g} s")


class _Together:
    """Servers that start and end with each other."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._stack = stack
            self._start()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _start(self) -> None:
        raise NotImplementedError

    def _state(self, prefix: str) -> Path:
        """A directory for what they write in each step of a failover, and wait for."""
        directory = Path(tempfile.mkdtemp(prefix=prefix, dir=_MEMORY if _MEMORY.is_dir() else "/tmp"))
        self._stack.callback(shutil.rmtree, directory, ignore_errors=True)
        return directory

    def _serve(self, server: Server) -> Server:
        self.servers.append(self._stack.enter_context(server))
        return server

    def revive(self) -> None:
        """Let all run again."""
        for server in self.servers:
            server.thaw()
            server.start()


class Sentinels(_Together):
    """A primary, two replicas, and three Sentinels that watch them."""

    NAME = "mymaster"

    def __init__(self, binary: Path, *, password: str = "", sentinel_password: str = "") -> None:
        super().__init__()
        self._binary = binary
        self._password = password
        self._sentinel_password = sentinel_password
        self._ports: list[int] = []

    @property
    def url(self) -> str:
        """As a REDIS_URL; the passwords are not in it."""
        hosts = ",".join(f"{HOST}:{port}" for port in self._ports)
        return f"redis+sentinel://{hosts}/{self.NAME}/0"

    def primary(self) -> Server:
        """The server that the Sentinels name at present."""
        port, *others = {self._named(port) for port in self._ports}
        if others:
            raise ServerError("the Sentinels do not agree yet")
        return next(server for server in self.servers if server.port == port)

    def admin(self) -> redis.Redis:
        """A client of the primary, as `Server.admin`."""
        return self.primary().admin()

    def wait_settled(self) -> None:
        """Wait until all agree, and the replicas have what the primary has."""
        wait_until(self._is_settled, "Sentinels, primary and replicas")

    def failover(self) -> None:
        """Have the Sentinels make another server the primary."""
        before = self.primary()
        with self._sentinel(self._ports[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", self.NAME)
        self.wait_moved(before)

    def wait_moved(self, before: Server) -> None:
        """Wait until all agree that another server is the primary; each hears of it by itself."""
        wait_until(lambda: self.primary() is not before, "a failover")

    def reset(self) -> None:
        """Make all as it was: running, in sync, empty; which server is the primary may have changed."""
        self.revive()
        self.wait_settled()
        _empty(self.primary(), 2)
        self.wait_settled()

    def _start(self) -> None:
        options = dict(_REPLICATION)
        if self._password:
            options |= {"requirepass": self._password, "masterauth": self._password}
        primary = self._serve(Server(self._binary, options=options))
        for _ in range(2):
            self._serve(Server(self._binary, options=options | {"replicaof": f"{HOST} {primary.port}"}))
        for _ in range(3):
            self._watch(primary.port)
        self.wait_settled()
        for port in self._ports:
            self._tune(port, {"publish-period": _PUBLISH})

    def _watch(self, primary: int) -> None:
        directory = self._state("abe-redis-sentinel-")
        port = free_port()
        lines = [
            f"port {port}",
            f"bind {HOST}",
            f"dir {directory}",
            f"sentinel monitor {self.NAME} {HOST} {primary} 2",
            f"sentinel down-after-milliseconds {self.NAME} 1000",
            f"sentinel failover-timeout {self.NAME} 5000",
        ]
        if self._password:
            lines.append(f"sentinel auth-pass {self.NAME} {self._password}")
        if self._sentinel_password:
            lines.append(f"requirepass {self._sentinel_password}")
        configuration = directory / "sentinel.conf"
        configuration.write_text("\n".join(lines) + "\n", "utf-8")
        process = subprocess.Popen(
            [self._binary, configuration, "--sentinel"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        self._ports.append(port)
        wait_until(lambda: self._tune(port, _SENTINEL | {"publish-period": 100}), "a Sentinel")

    def _tune(self, port: int, periods: Mapping[str, int]) -> bool:
        with self._sentinel(port) as sentinel:
            return bool(sentinel.execute_command("SENTINEL", "DEBUG", *chain.from_iterable(periods.items())))

    def _sentinel(self, port: int) -> redis.Redis:
        password = self._sentinel_password or None
        return redis.Redis(host=HOST, port=port, password=password, decode_responses=True, driver_info=None)

    def _named(self, port: int) -> int:
        with self._sentinel(port) as sentinel:
            _, named = sentinel.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.NAME)
        return int(named)

    def _is_settled(self) -> bool:
        for port in self._ports:
            with self._sentinel(port) as sentinel:
                state: Any = sentinel.sentinel_master(self.NAME)
            if state["num-other-sentinels"] != 2 or state["num-slaves"] != 2 or state["is_odown"]:
                return False
        return _has_replicas(self.primary(), 2)


class Cluster(_Together):
    """Three primaries with a replica each."""

    PRIMARIES = 3
    OPTIONS: ClassVar = _REPLICATION

    def __init__(self, binary: Path, *, primaries: int = PRIMARIES, replicas: bool = True) -> None:
        super().__init__()
        self._binary = binary
        self._count = primaries
        self._replicas = replicas

    @property
    def url(self) -> str:
        """As a REDIS_URL that names some of the nodes."""
        return "redis+cluster://" + ",".join(f"{HOST}:{server.port}" for server in self.servers[:3])

    def client(self) -> RedisCluster:
        """A client of the whole cluster."""
        node = next(server for server in self.servers if server.running)
        return RedisCluster(host=HOST, port=node.port, decode_responses=True)

    def admin(self) -> RedisCluster:
        """The same, as `Server.admin` for who need not know that it is a cluster."""
        return self.client()

    def primaries(self) -> list[Server]:
        """The servers that have slots, by the first of them."""
        ports = {server.port: server for server in self.servers}
        return [ports[port] for port in dict.fromkeys(port for _, _, port in _ranges(self._running()))]

    def primary_of(self, key: str) -> Server:
        """The server that has a key."""
        return self._owners()[key_slot(key.encode())]

    def wait_settled(self) -> None:
        """Wait until all agree on who has which slots, and every primary has its replica."""
        wait_until(self._is_settled, "a cluster that agrees")

    def move(self, source: Server, target: Server, count: int) -> int:
        """Move slots; how many it were."""
        slots = [slot for slot, owner in sorted(self._owners().items()) if owner is source][:count]
        for slot in slots:
            list(self.move_slot(slot, source, target))
        return len(slots)

    def move_slot(self, slot: int, source: Server, target: Server) -> Iterator[list[str]]:
        """Move a slot the way it is done: mark it on both nodes, migrate its keys, tell both.

        Yields nothing when it is marked, and then the keys that have moved, some at a time.
        """
        with source.admin() as old, target.admin() as new:
            ids = [str(client.execute_command("CLUSTER", "MYID")) for client in (old, new)]
            new.execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", ids[0])
            old.execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", ids[1])
            yield []
            while keys := list(old.execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100)):
                old.execute_command("MIGRATE", HOST, target.port, "", 0, 5000, "KEYS", *keys)
                yield keys
            new.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])
            old.execute_command("CLUSTER", "SETSLOT", slot, "NODE", ids[1])

    def reset(self) -> None:
        """Make all as it was: running, in sync, empty; who has which slots may have changed."""
        self.revive()
        self.wait_settled()
        for server in self.primaries():
            _empty(server, 1 if self._replicas else 0)
        self.wait_settled()

    def _start(self) -> None:
        state = self._state("abe-redis-cluster-")
        for number in range(self._count * (2 if self._replicas else 1)):
            bus = free_port()
            options = self.OPTIONS | {
                "cluster-enabled": "yes",
                "cluster-config-file": str(state / f"{number}.conf"),
                "cluster-port": str(bus),
                "cluster-node-timeout": "1500",
                "cluster-replica-validity-factor": "0",
                "cluster-allow-replica-migration": "no",
            }
            server = self._serve(Server(self._binary, options=options))
            with self.servers[0].admin() as first:
                if server is not self.servers[0]:
                    first.execute_command("CLUSTER", "MEET", HOST, server.port, bus)
        primaries, replicas = self.servers[: self._count], self.servers[self._count :]
        for number, server in enumerate(primaries):
            bounds = [SLOTS * part // self._count for part in (number, number + 1)]
            with server.admin() as client:
                client.execute_command("CLUSTER", "ADDSLOTSRANGE", bounds[0], bounds[1] - 1)
        wait_until(self._know_each_other, "nodes that know each other")
        for primary, replica in zip(primaries, replicas, strict=False):
            with primary.admin() as client:
                of = client.execute_command("CLUSTER", "MYID")
            with replica.admin() as client:
                client.execute_command("CLUSTER", "REPLICATE", of)
        self.wait_settled()

    def _know_each_other(self) -> bool:
        return all(
            _state(server).get("cluster_known_nodes") == str(len(self.servers)) for server in self.servers
        )

    def _owners(self) -> dict[int, Server]:
        """Who has which slots, as a server that runs says."""
        ports = {server.port: server for server in self.servers}
        ranges = _ranges(self._running())
        return {slot: ports[port] for first, last, port in ranges for slot in range(first, last + 1)}

    def _running(self) -> Server:
        for server in random.sample(self.servers, len(self.servers)):
            if server.running and not server.frozen:
                return server
        raise ServerError("no server runs")

    def _is_settled(self) -> bool:
        running = [server for server in self.servers if server.running]
        if any(_state(server).get("cluster_state") != "ok" for server in running):
            return False
        views = [_ranges(server) for server in running]
        if (
            any(view != views[0] for view in views)
            or sum(last - first + 1 for first, last, _ in views[0]) != SLOTS
        ):
            return False
        return not self._replicas or all(_has_replicas(server, 1) for server in self.primaries())


def _state(server: Server) -> dict[str, str]:
    with server.admin() as client:
        said: Any = client.execute_command("CLUSTER", "INFO")
    return said if isinstance(said, dict) else dict(line.split(":", 1) for line in said.split())


def _ranges(server: Server) -> list[tuple[int, int, int]]:
    """The first and the last slot, and the primary's port, of each range."""
    with server.admin() as client:
        rows: Any = client.execute_command("CLUSTER", "SLOTS")
    if isinstance(rows, dict):  # as redis-py reads it
        return sorted((first, last, row["primary"][1]) for (first, last), row in rows.items())
    return sorted((row[0], row[1], row[2][1]) for row in rows)


def _has_replicas(server: Server, count: int) -> bool:
    """Whether so many replicas follow it."""
    with server.admin() as client:
        info: Any = client.info("replication")
    replicas = [info[f"slave{number}"] for number in range(info["connected_slaves"])]
    return info["role"] == "master" and [one["state"] for one in replicas].count("online") >= count


def _empty(server: Server, replicas: int) -> None:
    """Remove everything, on the replicas too."""
    server.reset()
    with server.admin() as client:
        client.flushall()
        client.wait(replicas, round(PATIENCE * 1000))
