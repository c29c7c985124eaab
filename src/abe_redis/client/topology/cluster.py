"""A cluster: each command goes to the node that has its slot, even while slots move.

Redirections (MOVED, ASK) are followed, so a moving slot is a detour and not a failure. If a node has gone,
the others are asked for the slots; `away` says which nodes have gone without a successor.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, override

from redis import exceptions

from abe_redis.client.address import Address, identity_of
from abe_redis.client.calls import Answer, Promise, Words
from abe_redis.client.topology import Topology
from abe_redis.client.topology.announced import announced, meant
from abe_redis.client.topology.away import AwayNodes, NodesAway, Place
from abe_redis.client.topology.node import Node
from abe_redis.client.topology.patience import Patience
from abe_redis.client.topology.slots import SLOTS, grouped, key_of_command, slot_of, slot_of_command
from abe_redis.runtime import tasks

_LOG = logging.getLogger(__name__)

TRY_AGAIN_SECONDS = 0.02
"""Pause before a retry: a command on several keys of a slot must wait until the slot has moved."""

SILENT_SECONDS = 0.5
"""Time without an answer after which the other nodes are asked for a new primary."""

MAP_SECONDS = 2.0
"""Time for a node to report the slots; then the next node is asked."""


class Cluster(Topology):
    """The nodes of a cluster; as `Topology`."""

    def __init__(self, known: Sequence[Place], server: Callable[[str, int], Address]) -> None:
        """Create the topology without I/O.

        Args:
            known: Addresses of some of the nodes.
            server: Returns the address for a host and a port.
        """
        self._known = list(known)
        self._server = server
        self._nodes: dict[Place, Node] = {}
        self._owners: dict[int, Place] = {}
        """The known owner of each slot; empty until the first report."""
        self._primaries: list[Place] = []
        self._others: dict[Place, tuple[str, ...]] = {}
        """Under which further hosts a node may be reached."""
        self._problem: exceptions.RedisError | None = None
        """The failure of the last attempt to learn the slots."""
        self._asking: asyncio.Task[None] | None = None
        self._away = AwayNodes(self._ask, self._examine)
        self._closed = False

    @override
    def send(self, words: Words, promise: Promise, *, replicas: int = 0) -> None:
        self._send(_Errand(self, words, promise, replicas))

    @property
    @override
    def identity(self) -> str:
        places = ", ".join(f"{host}:{port}" for host, port in self._known)
        return identity_of(f"of the cluster {places}", self._server(*self._known[0]).username)

    @override
    def slot(self, key: str) -> int:
        return slot_of(key)

    @override
    async def block(self, words: Words) -> Any:
        if not self._owners:
            await self._ask()
        slot = slot_of_command(words)
        patience = Patience()
        place, asking = self._owner(slot), False
        while True:
            try:
                return await self._node(place).block(words, asking=asking)
            except (exceptions.AskError, exceptions.TryAgainError) as error:
                if not patience.is_left_for(error):
                    raise
                place, asking = await self._elsewhere(error, place, slot)
            except Exception as error:
                self._suspect(place, words, error)
                raise

    async def _elsewhere(self, error: Exception, place: Place, slot: int | None) -> tuple[Place, bool]:
        """The node for a blocking read, and whether to send ASKING first."""
        match error:
            case exceptions.MovedError():
                return self._note_move(error, place), False
            case exceptions.AskError():
                return meant(error, place), True
            case _:
                await asyncio.sleep(TRY_AGAIN_SECONDS)
                return self._owner(slot), False

    @override
    def by_slot(self, keys: Sequence[str]) -> list[list[str]]:
        return grouped(keys)

    @override
    def servers(self, *, here: bool = False) -> Sequence[Node]:
        return [self._node(place) for place in (self._here() if here else self._primaries)]

    def _here(self) -> list[Place]:
        return [place for place in self._primaries if place not in self._away.reasons]

    @override
    def outage(self) -> NodesAway | None:
        if not self._away.reasons and len(self._owners) in {0, SLOTS}:  # as nearly always
            return None
        return NodesAway(self._away.reasons, self._owners, is_whole=not self._here())

    @override
    async def judge(self) -> None:
        if not self._closed:
            self._away.doubt(self._primaries)
        await self._away.verdict()

    @override
    async def refresh(self) -> None:
        silent = [node for place, node in self._nodes.items() if node.silent_seconds >= SILENT_SECONDS]
        if not silent and len(self._owners) in {0, SLOTS}:
            return
        await self._ask()
        primaries = set(self._primaries)
        for place, node in self._nodes.items():
            if node in silent and place not in primaries:
                node.drop("another node has its slots")

    @override
    async def close(self) -> None:
        self._closed = True
        for task in (self._asking, self._away.task):
            if task is not None:
                await tasks.end(task)
        for node in list(self._nodes.values()):
            await node.close()

    # One command ------------------------------------------------------------------------------

    def _send(self, errand: "_Errand") -> None:
        asking = None if self._owners else self._ask_soon()
        if asking is None:
            self._send_known(errand)
        else:
            asking.add_done_callback(lambda _: self._send_known(errand))

    def _send_known(self, errand: "_Errand") -> None:
        if errand.done():  # its caller was cancelled
            return
        if self._closed:
            errand.promise.set_exception(exceptions.ConnectionError("the connection was closed"))
            return
        try:
            self._hand_over(errand, self._owner(slot_of_command(errand.words)))
        except exceptions.RedisError as error:
            errand.promise.set_exception(error)

    def _hand_over(self, errand: "_Errand", place: Place, *, asking: bool = False) -> None:
        errand.place = place
        try:
            self._node(place).send(errand.words, errand, replicas=errand.replicas, asking=asking)
        except Exception as error:  # noqa: BLE001 - the caller gets every failure
            errand.promise.set_exception(error)

    def _failed(self, errand: "_Errand", error: Exception) -> None:
        """Follow a redirection, try another node, or fail the caller's promise."""
        if not errand.patience.is_left_for(error):
            self._suspect(errand.place, errand.words, error)
            errand.promise.set_exception(error)
            return
        match error:
            case exceptions.MovedError():
                self._note_move(error, errand.place)
                self._send(errand)
            case exceptions.AskError():
                self._hand_over(errand, meant(error, errand.place), asking=True)
            case _:
                asyncio.get_running_loop().call_later(TRY_AGAIN_SECONDS, self._send_known, errand)

    def _suspect(self, place: Place | None, words: Words, error: Exception) -> None:
        """Find out whether a node is away, after the failure of a command."""
        if isinstance(error, (exceptions.ConnectionError, exceptions.ClusterDownError)):
            self._ask_soon()
        if not self._closed and place is not None:
            self._away.suspect(place, key_of_command(words), error)

    async def _examine(self, place: Place, key: str | bytes | None) -> None:
        """Send a node a write that changes nothing, or any command if no key of its is known."""
        answer: Answer = asyncio.get_running_loop().create_future()
        words: Words = ("PING",) if key is None else ("XACK", key, "abe-redis", "0-0")
        self._node(place).send(words, answer)
        await answer

    def _owner(self, slot: int | None) -> Place:
        if slot is None:
            if not self._primaries:
                raise self._failure("no node of the cluster has slots")
            return (self._here() or self._primaries)[0]
        if (place := self._owners.get(slot)) is None:
            self._ask_soon()
            raise self._failure(f"no node of the cluster has slot {slot}")
        return place

    def _failure(self, otherwise: str) -> exceptions.RedisError:
        """The error for a command that no known node accepts."""
        return copy(self._problem) if self._problem else exceptions.ConnectionError(otherwise)

    def _node(self, place: Place) -> Node:
        if (node := self._nodes.get(place)) is None:
            address = replace(self._server(*place), others=self._others.get(place, ()))
            node = self._nodes[place] = Node(address, place=f"{place[0]}:{place[1]}")
        return node

    # Who has which slots ----------------------------------------------------------------------

    def _note_move(self, error: exceptions.MovedError, asked: Place | None) -> Place:
        place = self._owners[error.slot_id] = meant(error, asked)
        self._ask_soon()  # slots rarely move alone
        return place

    def _ask_soon(self) -> asyncio.Task[None] | None:
        """Learn the slots in the background, one attempt at a time; None when closed."""
        if self._closed:
            return None
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_quietly(), name="abe-redis cluster map")
        return self._asking

    async def _ask_quietly(self) -> None:
        try:
            await self._ask()
        except exceptions.RedisError as error:
            _LOG.debug("No node reported the slots: %s", error)

    async def _ask(self) -> None:
        """Ask nodes until one reports the slots.

        Raises:
            redis.ConnectionError: None did.
        """
        problems = []
        places = list(dict.fromkeys([*self._primaries, *self._known, *self._nodes]))
        places.sort(key=lambda place: place in self._nodes and self._nodes[place].silent_seconds > 0)
        for place in places:
            try:
                async with asyncio.timeout(MAP_SECONDS):
                    answer: Answer = asyncio.get_running_loop().create_future()
                    self._node(place).send(("CLUSTER", "SLOTS"), answer)
                    rows = await answer
            except (exceptions.AuthenticationError, exceptions.AuthorizationError) as error:
                self._problem = error
                raise
            except exceptions.RedisError as error:
                problems.append(f"{place[0]}:{place[1]}: {error}")
            except TimeoutError:
                problems.append(f"{place[0]}:{place[1]}: no answer in time")
            else:
                self._take_in(rows, place)
                self._problem = None
                return
        self._problem = exceptions.ConnectionError(
            f"no node of the cluster could be asked ({'; '.join(problems)})"
        )
        raise self._problem

    def _take_in(self, rows: Iterable[Any], asked: Place) -> None:
        owners: dict[int, Place] = {}
        for first, last, about, *_replicas in rows:
            place, others = announced(about, asked[0])
            if others:
                self._others[place] = others
            owners.update(dict.fromkeys(range(first, last + 1), place))
        if owners:
            self._owners = owners
            self._primaries = list(dict.fromkeys(owners.values()))
            self._away.keep(set(self._primaries))


@dataclass(slots=True)
class _Errand:
    """A command in progress, as a `Promise`; passes the answer on unless it has to go elsewhere."""

    cluster: Cluster
    words: Words
    promise: Promise
    replicas: int
    patience: Patience = field(default_factory=Patience)
    place: Place | None = None
    """The node that has it."""

    def done(self) -> bool:
        return self.promise.done()

    def set_result(self, result: Any) -> None:  # noqa: ANN401
        self.promise.set_result(result)

    def set_exception(self, error: Exception) -> None:
        self.cluster._failed(self, error)  # noqa: SLF001 - a part of it
