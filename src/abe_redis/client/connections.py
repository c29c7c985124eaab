"""From settings to connections. Nothing else knows about URLs, topologies, TLS or retries.

Why redis-py's own connections are not used, but only its commands (`client`):

* It spends a connection, a write, a read and a timer on each command (`transport`).
* A command is sent once. redis-py would repeat an XADD whose answer was lost and write twice; whoever
  can repeat safely (`publisher`, `consumer`) does so itself.
* Its time-outs are those of a connection: None would hang for ever on a frozen server, and any other
  would cut the blocking reads that are longer.
"""

import asyncio
import contextlib
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

import anyio
from pydantic import SecretStr
from redis.exceptions import ConnectionError, RedisError  # noqa: A004 - redis' own

from abe_redis.client import credentials, failures, tls
from abe_redis.client.address import Address
from abe_redis.client.commands import Client
from abe_redis.client.topology import Topology
from abe_redis.client.topology.cluster import Cluster
from abe_redis.client.topology.sentinel import Sentinels
from abe_redis.client.topology.single import Single
from abe_redis.client.version import check_version
from abe_redis.runtime import fork_rest, tasks
from abe_redis.settings import Settings
from abe_redis.settings.url import split_url

if TYPE_CHECKING:
    from abe_redis.embedded.server import EmbeddedServer

_REDIS_PORT, _SENTINEL_PORT = 6379, 26379

_REFRESH_SECONDS = 0.5
"""Time between two checks whether a server was replaced."""


@dataclass(slots=True)
class Connections:
    """The connections to Redis. Created without I/O; the first command opens a connection."""

    settings: Settings
    commands: Client = field(init=False)
    """For commands that answer at once: all share one connection to each server, and commands that are sent
    at the same time share one write."""
    publishing: Client = field(init=False)
    """For publishing: a command counts as done when `REDIS_WAIT_REPLICAS` replicas have it."""
    blocking: Client = field(init=False)
    """For blocking reads, each over a connection of its own, so that readers never starve publishers."""
    _topology: Topology = field(init=False)
    _refreshing: asyncio.Task[None] | None = field(init=False, default=None)
    _server: "EmbeddedServer | None" = field(init=False, default=None)
    was_let_in: bool = field(init=False, default=False)
    """Whether the server has answered, so that the credentials were right then."""

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Create the clients for `settings`; with `embedded://`, start or join the server.

        Raises:
            EmbeddedServerError: The embedded server could not be started.
            SettingsError: A TLS file cannot be read.
        """
        self = cls(settings)
        tls.warn_of_unused_files(settings)
        self._topology = await self._way()
        self.commands = Client(self._topology)
        self.publishing = Client(self._topology, like=self.commands, replicas=settings.redis_wait_replicas)
        self.blocking = Client(self._topology, like=self.commands, blocking=True)
        if "+" in split_url(settings.redis_url)[0].scheme:
            self._refreshing = asyncio.create_task(
                self._keep_refreshing(), name="abe-redis refreshes the topology"
            )
        return self

    async def check(self) -> None:
        """Refuse a server that is too old; it is asked once.

        Raises:
            RedisRefusedError: It is too old.
            redis.RedisError: It could not be asked at present.
        """
        if not self.was_let_in:
            try:
                await check_version(self.commands, self.settings)
            except ConnectionError as error:
                await self.commands.judge()
                if failures.is_refused_login(error) or self.commands.outage() is None:
                    raise
                await check_version(self.commands, self.settings)  # of a node that is not away
            self.was_let_in = True

    async def revive(self) -> None:
        """Start the embedded server again if it is one and has died; otherwise do nothing.

        Raises:
            EmbeddedServerError: It could not be started.
        """
        if self._server is not None:
            await fork_rest.in_thread(self._server.start)

    async def close(self) -> None:
        """Close every connection, and leave the embedded server."""
        if self._refreshing is not None:
            await tasks.end(self._refreshing)
        await self._topology.close()
        if self._server is not None:
            await fork_rest.in_thread(self._server.stop)

    def forsake(self) -> None:
        """Give up the share in the embedded server, when the loop has ended without `close`."""
        if self._server is not None:
            self._server.stop()

    async def _keep_refreshing(self) -> None:
        while True:
            await anyio.sleep(_REFRESH_SECONDS)
            with contextlib.suppress(
                RedisError
            ):  # the next round tries again; callers have timeouts of their own
                await self._topology.refresh()

    async def _way(self) -> Topology:
        settings = self.settings
        parts, hosts = split_url(settings.redis_url)
        kind, path = parts.scheme.partition("+")[2] or parts.scheme, unquote(parts.path)
        who = Address(
            username=settings.redis_username,
            password=_secret(settings.redis_password),
            credentials=credentials.of(settings),
            client_name="abe-redis",
            tls=tls.context(settings) if settings.uses_tls else None,
        )
        if kind == "unix":
            return Single(replace(who, path=path, db=int(parts.query.removeprefix("db=") or 0)))
        if kind == "embedded":
            from abe_redis.embedded.server import EmbeddedServer, default_directory  # noqa: PLC0415 - few programs need it

            self._server = EmbeddedServer(Path(path) if path else default_directory())
            socket_path = await fork_rest.in_thread(self._server.start)
            return Single(replace(who, path=str(socket_path)))
        if kind == "sentinel":
            name, _, database = path.removeprefix("/").partition("/")
            primary = replace(who, db=int(database or 0), primary=True)
            sentinel = replace(
                who,
                credentials=None,
                username=settings.redis_sentinel_username,
                password=_secret(settings.redis_sentinel_password),
            )
            places = [replace(sentinel, host=host, port=port or _SENTINEL_PORT) for host, port in hosts]
            return Single(Sentinels(places, name, partial(_at, primary)))
        if kind == "cluster":
            return Cluster([(host, port or _REDIS_PORT) for host, port in hosts], partial(_at, who))
        (host, port), *_ = hosts
        return Single(replace(who, host=host, port=port or _REDIS_PORT, db=int(path.removeprefix("/") or 0)))


def _at(address: Address, host: str, port: int) -> Address:
    return replace(address, host=host, port=port)


def _secret(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
