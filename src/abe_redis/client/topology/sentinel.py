"""Asking Sentinels which server is the primary at present."""

import asyncio
from collections.abc import Callable, Sequence
from time import monotonic

from redis import exceptions

from abe_redis.client.address import Address, identity_of
from abe_redis.client.calls import Answer
from abe_redis.client.transport import Transport

NEXT_SECONDS = 1.0
"""Time for a Sentinel until the next one is asked as well. The first answer counts, whoever gives it: a
Sentinel that is far away, or whose disk is slow, may need longer each time."""

SENTINELS_SECONDS = 4.0
"""Time for all Sentinels; below the time that opening a connection may take, so that the error can name them.
What goes on behind it, such as a greeting, serves the next question."""


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
        self._ways = [Transport(one) for one in sentinels]
        places = ", ".join(one.place for one in sentinels)
        self.identity = identity_of(f"{name!r} of the Sentinels {places}", server("", 0).username)
        """Identifies the primary, and the user who connects."""

    async def find(self) -> Address:
        """The present address of the primary.

        Raises:
            redis.ConnectionError: No Sentinel could be reached, or none knows a primary.
        """
        return self._server(*await self._ask())

    async def close(self) -> None:
        """Close the connections to the Sentinels."""
        for way in self._ways:
            await way.close()

    async def _ask(self) -> tuple[str, int]:
        deadline = monotonic() + SENTINELS_SECONDS
        problems: list[str] = []
        to_ask, asked = list(self._ways), dict[Answer, Transport]()
        try:
            while (to_ask or asked) and (left := deadline - monotonic()) > 0:
                if to_ask:
                    way = to_ask.pop(0)
                    asked[self._question(way)] = way
                answered, _ = await asyncio.wait(
                    asked,
                    timeout=min(NEXT_SECONDS, left) if to_ask else left,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for answer in answered:
                    way = asked.pop(answer)
                    if (named := self._named(way, answer, problems)) is not None:
                        # Who answers is asked first from now on.
                        self._ways.remove(way)
                        self._ways.insert(0, way)
                        return named
        finally:
            for answer in asked:
                if not answer.cancel():
                    answer.exception()  # it came too late to matter
        problems += [f"{_where(way)}: no answer within {SENTINELS_SECONDS:g} s" for way in asked.values()]
        raise exceptions.ConnectionError(f"no Sentinel named the primary ({'; '.join(problems)})")

    def _question(self, way: Transport) -> Answer:
        answer: Answer = asyncio.get_running_loop().create_future()
        try:
            way.send(("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self._name), answer)
        except exceptions.RedisError as error:  # closed meanwhile
            answer.set_exception(error)
        return answer

    def _named(self, way: Transport, answer: Answer, problems: list[str]) -> tuple[str, int] | None:
        """The primary that a Sentinel names; a reason is added if it names none."""
        try:
            named = answer.result()
        except (exceptions.AuthenticationError, exceptions.AuthorizationError):
            raise
        except exceptions.RedisError as error:
            problems.append(f"{_where(way)}: {error}")
            return None
        if named is None:
            problems.append(f"{_where(way)} knows no {self._name!r}")
            return None
        host, port = named
        return host.decode(), int(port)


def _where(way: Transport) -> str:
    address = way.address
    return f"{address.host}:{address.port}" if isinstance(address, Address) else "?"
