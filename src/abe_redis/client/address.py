"""The address of a server, and the credentials for it."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from abe_redis.client.calls import Words

type Find = Callable[[], Awaitable["Address"]]
"""Returns the present address of the server, for each new connection; or raises redis.RedisError."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A host and a port, or the path of a unix socket, with the credentials of the client."""

    host: str = "localhost"
    port: int = 6379
    path: str | None = None
    tls: ssl.SSLContext | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    client_name: str | None = None
    primary: bool = False
    """Require a primary: refuse to connect to a replica."""

    def greeting(self) -> list[Words]:
        """The first commands of a connection."""
        commands: list[Words] = []
        if self.username:
            commands.append(("AUTH", self.username, self.password or ""))
        elif self.password:
            commands.append(("AUTH", self.password))
        if self.client_name:
            commands.append(("CLIENT", "SETNAME", self.client_name))
        if self.db:
            commands.append(("SELECT", self.db))
        return commands
