"""A URL becomes a client. Nothing else knows of topologies, sockets, TLS or retries.

Why none of redis-py's defaults is kept:

* Retries: a command is sent once. redis-py would repeat an XADD whose answer was lost and write
  twice; whoever can repeat safely (`backend`, `consumer`) does so itself.
* `socket_timeout` None would hang for ever on a frozen server, and the default of 5 s would cut
  longer blocking reads.
* `ConnectionPool` raises when it is empty; callers here wait for their turn.
* A connection per command: so many that publish at a time would wait for each other (`transport`).
* RESP 3: an idle connection that the server closed fails the next command (redis-py #4252).
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, override
from urllib.parse import unquote

import anyio.to_thread
from redis.asyncio import BlockingConnectionPool, Connection, ConnectionPool, Redis, SSLConnection
from redis.asyncio.connection import UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import DataError

from abe_redis.errors import NotSupportedError, SettingsError
from abe_redis.settings import Settings, split_url
from abe_redis.transport import Address, Answer, Transport, Words

if TYPE_CHECKING:
    from abe_redis.embedded import EmbeddedServer

ANSWER_SECONDS = 5.0
"""How long an answer may take before the connection counts as dead."""

MAX_BLOCK_SECONDS = 20.0
"""The longest blocking read that anything here makes."""


@dataclass(slots=True)
class Connections:
    """The way to one Redis. Made without I/O; a connection is opened by the first command."""

    settings: Settings
    commands: Redis = field(init=False)
    """For commands that answer at once: all share one connection, and what is sent at a time one write.
    Only pipelines take connections of their own, at most `REDIS_MAX_CONNECTIONS`."""
    blocking: Redis = field(init=False)
    """For blocking reads, outside that number, so that readers never starve publishers."""
    _transport: Transport = field(init=False)
    _server: "EmbeddedServer | None" = field(init=False, default=None)

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """The clients for `settings`; with `embedded://`, the server is started or joined.

        Raises:
            NotSupportedError: Sentinel or Cluster.
            EmbeddedServerError: The embedded server could not be started.
            SettingsError: A TLS file cannot be read.
        """
        self = cls(settings)
        connection_class, where, tls = await self._address()
        who: dict[str, Any] = {
            "username": settings.redis_username,
            "password": settings.redis_password.get_secret_value() if settings.redis_password else None,
            "client_name": "abe-redis",
        }
        common: dict[str, Any] = {
            **where,
            **who,
            "socket_connect_timeout": ANSWER_SECONDS,
            # A peer that vanished without a word is noticed by the kernel.
            **({"socket_keepalive": True} if "host" in where else {}),
            **(_tls_of(settings) if tls else {}),
            "connection_class": connection_class,
            "protocol": 2,
            "retry": Retry(NoBackoff(), 0),
        }
        self._transport = Transport(
            Address(**where, **who, tls=tls), connect_seconds=ANSWER_SECONDS, answer_seconds=ANSWER_SECONDS
        )
        self.commands = _Shared(
            self._transport,
            connection_pool=BlockingConnectionPool(
                **common,
                max_connections=settings.redis_max_connections,
                timeout=None,
                socket_timeout=ANSWER_SECONDS,
            ),
        )
        self.blocking = Redis(
            connection_pool=ConnectionPool(**common, socket_timeout=MAX_BLOCK_SECONDS + ANSWER_SECONDS)
        )
        return self

    def send(self, words: Words) -> Answer:
        """Send a command that answers at once, for one who waits for many; as `Transport.send`."""
        return self._transport.send(words)

    async def revive(self) -> None:
        """Start the embedded server again if it is one and has died; otherwise do nothing.

        Raises:
            EmbeddedServerError: It could not be started.
        """
        if self._server is not None:
            await anyio.to_thread.run_sync(self._server.start)

    async def close(self) -> None:
        """Close every connection and give up the share in the embedded server."""
        await self._transport.close()
        for client in (self.commands, self.blocking):
            await client.aclose()
            await client.connection_pool.aclose()
        if self._server is not None:
            await anyio.to_thread.run_sync(self._server.stop)

    async def _address(self) -> tuple[type[Any], dict[str, Any], ssl.SSLContext | None]:
        """The class of connection, where the server is, and how to speak TLS with it."""
        parts, hosts = split_url(self.settings.redis_url)
        scheme, path = parts.scheme, unquote(parts.path)
        if scheme == "unix":
            database = int(parts.query.removeprefix("db=") or 0)
            return UnixDomainSocketConnection, {"path": path, "db": database}, None
        if scheme == "embedded":
            from abe_redis.embedded import EmbeddedServer, default_directory  # noqa: PLC0415 - few need it

            self._server = EmbeddedServer(Path(path) if path else default_directory())
            socket_path = await anyio.to_thread.run_sync(self._server.start)
            return UnixDomainSocketConnection, {"path": str(socket_path)}, None
        if "+" in scheme:
            raise NotSupportedError(
                f"REDIS_URL starts with {scheme}://, which this version does not support yet. "
                "Use redis:// or rediss:// with one server."
            )
        (host, port), *_ = hosts
        where = {"host": host, "port": port or 6379, "db": int(path.removeprefix("/") or 0)}
        if self.settings.uses_tls:
            return SSLConnection, where, _tls(self.settings)
        return Connection, where, None


class _Shared(Redis):
    """redis-py's commands over the shared connection; its pipelines use the pool."""

    def __init__(self, transport: Transport, *, connection_pool: ConnectionPool) -> None:
        super().__init__(connection_pool=connection_pool)
        self._transport = transport

    @override
    async def execute_command(self, *args: Any, **options: Any) -> Any:
        name = args[0]
        try:
            # redis-py names a subcommand in one word, as in `XINFO GROUPS`.
            words = (*name.split(), *args[1:]) if type(name) is str and " " in name else args
            answer = await self._transport.call(*words)
        except TypeError as error:
            raise DataError(f"{name} was not sent: {error}") from None
        options.pop("keys", None)  # which redis-py keeps for its cache
        callback = self.response_callbacks.get(name)
        return answer if callback is None else callback(answer, **options)


def _tls(settings: Settings) -> ssl.SSLContext:
    for name in ("redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile"):
        path: Path | None = getattr(settings, name)
        if path is not None and not path.is_file():
            raise SettingsError(f"{name.upper()} names {str(path)!r}, which is not a file.")
    try:
        ssl.create_default_context(cafile=settings.redis_ssl_ca_certs)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"REDIS_SSL_CA_CERTS names {str(settings.redis_ssl_ca_certs)!r}, which does not hold "
            f"certificates in PEM format ({error})."
        ) from None
    context = ssl.create_default_context()
    if settings.redis_ssl_ca_certs:
        try:
            context.load_verify_locations(settings.redis_ssl_ca_certs)
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"The authorities in REDIS_SSL_CA_CERTS cannot be used ({error}); it must be a PEM file of "
                "certificates."
            ) from None
    if settings.redis_ssl_certfile:
        try:
            context.load_cert_chain(
                settings.redis_ssl_certfile, settings.redis_ssl_keyfile, password=_no_passphrase
            )
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"The client certificate in REDIS_SSL_CERTFILE cannot be used ({error}); it and "
                "REDIS_SSL_KEYFILE must be PEM files that belong together, the key without a pass phrase."
            ) from None
    return context


def _tls_of(settings: Settings) -> dict[str, Any]:
    """The same for redis-py, which makes a context of its own."""
    return {
        "ssl_cert_reqs": "required",
        "ssl_check_hostname": True,
        "ssl_ca_certs": _text(settings.redis_ssl_ca_certs),
        "ssl_certfile": _text(settings.redis_ssl_certfile),
        "ssl_keyfile": _text(settings.redis_ssl_keyfile),
    }


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _no_passphrase() -> str:
    """Answer at once where OpenSSL would ask on the terminal and hang."""
    return ""
