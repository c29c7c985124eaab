"""A cluster, whose slots move."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from redis.cluster import RedisCluster
from redis.crc import key_slot

from tests.server_binaries import ServerError
from tests.servers import HOST, Server, free_port
from tests.topologies.together import REPLICATION, Together, empty, has_replicas, wait_until

SLOTS = 16_384


class Cluster(Together):
    """Three primaries with a replica each."""

    PRIMARIES = 3
    OPTIONS: ClassVar = REPLICATION

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
            empty(server, 1 if self._replicas else 0)
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
        return not self._replicas or all(has_replicas(server, 1) for server in self.primaries())


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
