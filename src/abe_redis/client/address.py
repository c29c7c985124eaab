"""The address of a server, the user who connects, and the first commands of a connection."""

import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from redis import exceptions

from abe_redis.client import optional_commands
from abe_redis.client.calls import Words

type Find = Callable[[], Awaitable["Address"]]
"""Returns the present address of the server for each new connection, or raises redis.RedisError."""

type Ask = Callable[[Words], Awaitable[Any]]
"""Sends a command over the connection that is being opened, and waits for its answer."""

type Credentials = Callable[[], Awaitable[tuple[str | None, str | None]]]
"""Reads a user name and a password again for each connection."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A server (a host and its port, or the path of a unix socket), and the user who connects."""

    host: str = "localhost"
    port: int = 6379
    others: tuple[str, ...] = ()
    """Further hosts under which the same server may be reached, tried side by side with the first."""
    path: str | None = None
    tls: ssl.SSLContext | None = None
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials: Credentials | None = field(default=None, repr=False)
    """Used instead of user name and password, when these change while the process runs."""
    client_name: str | None = None
    primary: bool = False
    """Require a primary: refuse replicas, and disconnect if the server is demoted."""

    @property
    def place(self) -> str:
        """Where it is, for people."""
        return self.path if self.path is not None else f"{self.host}:{self.port}"

    @property
    def identity(self) -> str:
        """Identifies the server and the user who connects: another user may have other rights there."""
        return identity_of(self.place, self.username)

    async def greet(self, ask: Ask) -> None:
        """Log in, choose the database, name the connection, and require a primary if one is required.

        Raises:
            redis.AuthenticationError: The server refuses the user name or password.
            redis.ConnectionError: The server is a replica; or it refuses credentials that the
                next try reads anew.
            redis.RedisError: It refuses something else.
        """
        await self._log_in(ask)
        if self.db:
            await ask(("SELECT", self.db))
        if self.client_name:
            await optional_commands.ask(
                ask, ("CLIENT", "SETNAME", self.client_name), self.identity, "connections have no name"
            )
        if self.primary and (role := await _role(ask)) != "master":
            raise exceptions.ConnectionError(f"the server is a {role}, not the primary")

    async def _log_in(self, ask: Ask) -> None:
        username, password = self.username, self.password
        if self.credentials is not None:
            username, password = await self.credentials()
        if not username and not password:
            return
        refusal: exceptions.ResponseError | None = None
        try:
            await ask(("AUTH", username, password or "") if username else ("AUTH", password or ""))
        except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
            if self.credentials is None:
                raise
            # They may just have been changed: the next connection reads them again.
            raise exceptions.ConnectionError(
                f"the server at {self.place} refuses the credentials: {error}"
            ) from None
        except exceptions.ResponseError as error:
            refusal = _without_arguments(error)
        if refusal is not None:
            raise refusal  # here, so that the first error is not behind it


def _without_arguments(error: exceptions.ResponseError) -> exceptions.ResponseError:
    """The same without what a server repeats of a command that it does not know: the password."""
    said = str(error).partition("AUTH")[0].strip(" '`\"")
    return type(error)(f"the server does not take AUTH ({said})")


def identity_of(place: str, username: str | None) -> str:
    """Identifies one or several servers, and the user who connects."""
    return f"{place} (user {username!r})" if username else place


async def _role(ask: Ask) -> str:
    """Whether the server is a master or a replica."""
    try:
        said = await ask(("HELLO",))  # which every user may send, unlike ROLE
    except exceptions.ResponseError as error:
        if not optional_commands.is_refused(error):
            raise
        return str((await ask(("ROLE",)))[0], "utf-8").replace("slave", "replica")
    return str(dict(zip(said[::2], said[1::2], strict=True))[b"role"], "utf-8")
