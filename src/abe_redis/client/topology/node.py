"""One server: the connection that all share, and those of blocking reads."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, override

from redis import exceptions

from abe_redis.client.address import Address, Find
from abe_redis.client.calls import Promise, Words
from abe_redis.client.failures import pause_seconds
from abe_redis.client.topology import Topology
from abe_redis.client.topology.replication_wait import WAIT_SECONDS, Writes
from abe_redis.client.topology.slots import blocked_seconds
from abe_redis.client.transport import Transport
from abe_redis.runtime import tasks

ANSWER_SECONDS = 5.0
"""Time for an answer, after which the connection counts as dead."""

CALM_SECONDS = 5.0
"""Time without a replica in the primary's place, after which the pauses start again from the shortest."""

SECOND_SECONDS = 0.7
"""How long a second connection may take to be answered, when the shared one is silent."""

MAX_BLOCK_SECONDS = 20.0
"""The longest blocking read of this package."""


class Node(Topology):
    """The connections to one server, or to the server that has its role at present."""

    def __init__(self, address: Address | Find, *, place: str = "") -> None:
        """Create the node without I/O.

        Args:
            address: The address of the server.
            place: Its host and port, when it is one of several servers.
        """
        self._address = address
        self._place = place
        self._shared = self._transport(ANSWER_SECONDS, on_silence=self._suspect)
        self._suspicion: asyncio.Task[None] | None = None
        self._replicated: Transport | None = None
        self._writes: dict[int, Writes] = {}
        self._idle: list[Transport] = []
        """Idle connections for blocking reads."""
        self._busy: set[Transport] = set()
        self._closed = False
        self._replicas_met = 0
        """Consecutive connections to a server that is a replica."""
        self._open_at = 0.0
        """Monotonic time before which no connection is opened."""

    @property
    @override
    def place(self) -> str:
        return self._place

    @property
    @override
    def identity(self) -> str:
        return self._address.identity if isinstance(self._address, Address) else super().identity

    @override
    def send(self, words: Words, promise: Promise, *, replicas: int = 0, asking: bool = False) -> None:
        """Send a command over the shared connection.

        With `asking`, a node accepts the command for a slot that is moving to it.
        """
        if not replicas:
            self._pass(self._shared, words, promise, asking=asking)
            return
        # WAIT blocks its connection, so commands that wait for replicas have a connection of their own.
        if self._replicated is None:
            self._replicated = self._transport(ANSWER_SECONDS)
        writes = self._writes.get(replicas)
        if writes is None:
            writes = self._writes[replicas] = Writes(replicas)
            asyncio.get_running_loop().call_soon(self._confirm, self._replicated, replicas)
        self._pass(self._replicated, words, writes.add(promise), asking=asking)

    def _confirm(self, way: Transport, replicas: int) -> None:
        """Send one WAIT for all writes of this turn of the loop: it covers every earlier write."""
        writes = self._writes.pop(replicas)
        try:
            way.send(("WAIT", replicas, round(WAIT_SECONDS * 1000)), writes)
        except exceptions.RedisError as error:  # closed meanwhile
            writes.set_exception(error)

    @staticmethod
    def _pass(way: Transport, words: Words, promise: Promise, *, asking: bool) -> None:
        if asking:  # in the same write as the command, since nothing runs in between
            way.send(("ASKING",), Unheard())
        way.send(words, promise)

    @override
    async def block(self, words: Words, *, asking: bool = False) -> Any:
        if self._closed:
            raise exceptions.ConnectionError("the connection was closed")
        transport = self._idle.pop() if self._idle else self._transport(MAX_BLOCK_SECONDS + ANSWER_SECONDS)
        self._busy.add(transport)
        reusable = False
        try:
            async with asyncio.timeout(blocked_seconds(words) + ANSWER_SECONDS):
                if asking:
                    transport.send(("ASKING",), Unheard())
                answer = await transport.call(*words)
            reusable = True
        except exceptions.ResponseError:
            reusable = True
            raise
        except TimeoutError:
            raise exceptions.TimeoutError("no answer to a blocking read in time") from None
        finally:
            self._busy.discard(transport)
            if not reusable:
                # The server may still block on it, and would deliver entries to it.
                transport.drop("a blocking read was given up")
            self._idle.append(transport)
        return answer

    def _suspect(self) -> None:
        """Find out in the background whether the shared connection died in silence."""
        if self._suspicion is None or self._suspicion.done():
            self._suspicion = asyncio.create_task(self._compare(), name="abe-redis tries a second connection")

    async def _compare(self) -> None:
        """Hang up on the shared connection if a second one is answered at once while it stays silent.

        A NAT or a load balancer that forgets a connection says nothing, and what is sent over it vanishes. A
        busy or frozen server answers on neither connection; then both are kept.
        """
        second = self._transport(SECOND_SECONDS)
        try:
            async with asyncio.timeout(SECOND_SECONDS):
                await second.call("PING")
        except (exceptions.RedisError, TimeoutError):
            return
        finally:
            await second.close()
        if self._shared.silent_seconds >= self._shared.suspect_seconds:
            self._shared.drop("it is silent while the server answers another connection")

    def _note_slots(self) -> None:
        """Note that a command may name keys of one slot only."""

    @property
    def silent_seconds(self) -> float:
        """Seconds for which the oldest non-blocking call has waited for its answer."""
        replicated = 0.0 if self._replicated is None else self._replicated.silent_seconds
        return max(self._shared.silent_seconds, replicated)

    def drop(self, reason: str) -> None:
        """Close the connections. Waiting calls fail with redis.ConnectionError; the next one reconnects."""
        for transport in self._every():
            transport.drop(reason)

    @override
    async def judge(self) -> None:
        pass  # there is no other server beside which it could be away

    @override
    async def refresh(self) -> None:
        pass  # no other server takes its place

    @override
    async def close(self) -> None:
        self._closed = True
        if self._suspicion is not None:
            await tasks.end(self._suspicion)
        for transport in self._every():
            await transport.close()

    def _every(self) -> list[Transport]:
        replicated = [] if self._replicated is None else [self._replicated]
        return [self._shared, *replicated, *self._busy, *self._idle]

    def _transport(self, answer_seconds: float, *, on_silence: Callable[[], None] | None = None) -> Transport:
        return Transport(
            self._find,
            connect_seconds=ANSWER_SECONDS,
            answer_seconds=answer_seconds,
            on_read_only=self._leave_replica,
            on_cross_slot=self._note_slots,
            on_silence=on_silence,
        )

    async def _find(self) -> Address:
        """The address of the server, after the pause that a replica causes."""
        await asyncio.sleep(max(0.0, self._open_at - time.monotonic()))
        return self._address if isinstance(self._address, Address) else await self._address()

    def _leave_replica(self) -> None:
        """Disconnect from a replica: the address may lead to the primary by now, or soon.

        The pauses grow, so that many callers do not make many connections while it does not.
        """
        now = time.monotonic()
        in_a_row = now - self._open_at < CALM_SECONDS
        self._replicas_met = self._replicas_met + 1 if in_a_row else 1
        self._open_at = now + pause_seconds(self._replicas_met)
        self.drop("the server is a replica and takes no writes")


class Unheard(Promise):
    """A `Promise` for an answer that nothing waits for."""

    @override
    def done(self) -> bool:
        return False

    @override
    def set_result(self, result: Any) -> None:
        pass

    @override
    def set_exception(self, error: Exception) -> None:
        pass
