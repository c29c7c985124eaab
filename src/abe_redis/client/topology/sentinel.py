"""Asking Sentinels which server is the primary at present."""

from collections.abc import Callable, Sequence

from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.transport import Transport

SENTINEL_SECONDS = 1.0
"""How long a Sentinel may take; then the next is asked."""


class Sentinels:
    """Several processes that agree on the primary of a name; any of them can be asked."""

    def __init__(
        self, sentinels: Sequence[Address], name: str, server: Callable[[str, int], Address]
    ) -> None:
        """Nothing is asked yet.

        Args:
            sentinels: Where they are.
            name: What they call the primary, as in `mymaster`.
            server: The address of a server at a host and a port.
        """
        self._name = name
        self._server = server
        self._ways = [
            Transport(one, connect_seconds=SENTINEL_SECONDS, answer_seconds=SENTINEL_SECONDS)
            for one in sentinels
        ]
        self._found: tuple[str, int] | None = None

    async def find(self) -> Address:
        """Where the primary is now.

        Raises:
            redis.ConnectionError: No Sentinel could be asked, or none knows of one.
        """
        self._found = await self._ask()
        host, port = self._found
        return self._server(host, port)

    async def has_changed(self) -> bool:
        """Whether the primary is another one than was found last.

        Raises:
            redis.ConnectionError: As for `find`.
        """
        return self._found is not None and await self._ask() != self._found

    async def close(self) -> None:
        """Hang up on the Sentinels."""
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
            # Who could not answer is asked last from now on.
            self._ways.remove(way)
            self._ways.append(way)
        raise exceptions.ConnectionError(f"no Sentinel named the primary ({'; '.join(problems)})")


def _where(way: Transport) -> str:
    address = way.address
    return f"{address.host}:{address.port}" if isinstance(address, Address) else "?"
