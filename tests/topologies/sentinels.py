"""A primary behind Sentinels."""

import subprocess
from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import redis

from tests.server_binaries import ServerError
from tests.servers import HOST, Server, free_port
from tests.topologies.together import REPLICATION, Together, empty, has_replicas, wait_until

_SENTINEL = {"tilt-trigger": 60_000, "info-period": 200, "ask-period": 200}
"""Milliseconds. By default a Sentinel that could not run for two seconds does nothing for thirty."""
_PUBLISH = 500
"""Milliseconds between two words of a Sentinel about itself. After four of them, a former primary that still
takes writes is made a replica."""


class Sentinels(Together):
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
        empty(self.primary(), 2)
        self.wait_settled()

    def _start(self) -> None:
        options = dict(REPLICATION)
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
        return has_replicas(self.primary(), 2)
