"""Asking Sentinels which server is the primary at present."""

from collections.abc import Callable, Sequence

from redis import exceptions

from abe_redis.client.address import Address, identity_of
from abe_redis.client.transport import Transport

SENTINEL_SECONDS = 1.0
"""Time for a Sentinel; then the next one is asked."""


class Sentinels:
    """The Sentinels of a primary. They agree on it, so any of them can be asked."""

    def __init__(
        self, sentinels: Sequence[Address], name: str, server: Callable[[str, int], Address]
    ) -> None:
        """Create it without I/O.

        Args:
            sentinels: Their addresses.
            name: Their name for the primary, such as `mymaster`.
            server: Returns the address for a host and a port.
        """
        self._name = name
        self._server = server
        self._ways = [
            Transport(one, connect_seconds=SENTINEL_SECONDS, answer_seconds=SENTINEL_SECONDS)
            for one in sentinels
        ]
        self._found: tuple[str, int] | None = None
        places = ", ".join(one.place for one in sentinels)
        self.identity = identity_of(f"{name!r} of the Sentinels {places}", server("", 0).username)
        """Identifies the primary, and the user who connects."""

    async def find(self) -> Address:
        """The present address of the primary.

        Raises:
            redis.ConnectionError: No Sentinel could be reached, or none knows a primary.
        """
        self._found = await self._ask()
        host, port = self._found
        return self._server(host, port)

    async def has_changed(self) -> bool:
        """Whether the primary has changed since the last `find`.

        Raises:
            redis.ConnectionError: As for `find`.
        """
        return self._found is not None and await self._ask() != self._found

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        for way in self._ways:
            await way.close()

    async def _ask(self) -> tuple[str, int]:
        problems = []
        for way in list(self._ways):
            try:
                answer = await way.call("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name)
            except (exceptions.AuthenticationError, exceptions.AuthorizationError):
                raise
            except exceptions.RedisError as error:
                problems.append(f"{_where(way)}: {error}")
            else:
                if answer is not None:
                    host, port = answer
                    return host.decode(), int(port)
                problems.append(f"{_where(way)} knows no {self._name!r}")
            # A Sentinel that did not answer is asked last from now on.
            self._ways.remove(way)
            self._ways.append(way)
        raise exceptions.ConnectionError(f"no Sentinel named the primary ({'; '.join(problems)})")


def _where(way: Transport) -> str:
    address = way.address
    return f"{address.host}:{address.port}" if isinstance(address, Address) else "?"
