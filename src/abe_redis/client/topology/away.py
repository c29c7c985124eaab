"""The nodes of a cluster that are away: they do not answer, or refuse everybody, and others do not know why.

A node is suspected when a command to it fails. Then it is asked again and again with a command that changes
nothing, until it answers or another node has its slots.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import override

from redis import exceptions

from abe_redis.client import failures
from abe_redis.client.passing_states import is_full, state_of
from abe_redis.client.topology import Outage
from abe_redis.client.topology.slots import SLOTS, slot_of

_LOG = logging.getLogger(__name__)

AGAIN_SECONDS = 0.4
"""Pause before the suspected nodes are asked again."""

ANSWER_SECONDS = 2.0
"""Time for the answer of a suspected node."""

type Place = tuple[str, int]
"""A node's host and port."""


@dataclass(frozen=True, slots=True)
class NodesAway(Outage):
    """As `Outage`, of a cluster."""

    _said: Mapping[Place, str]
    """The nodes that are away, each with what it last said or did."""
    _owners: Mapping[int, Place]
    is_whole: bool

    @property
    @override
    def reasons(self) -> Mapping[str, str]:
        said = {_name(place): why for place, why in self._said.items()}
        return said if len(self._owners) == SLOTS else said | {_NOBODY: "see CLUSTER SLOTS"}

    @override
    def node_of(self, key: str) -> str | None:
        place = self._owners.get(slot_of(key))
        if place is None:
            return _NOBODY
        return _name(place) if place in self._said else None


_NOBODY = "a part for which no node is known"


def _name(place: Place) -> str:
    return f"node {place[0]}:{place[1]}"


class AwayNodes:
    """Which nodes are away, and why."""

    def __init__(
        self,
        learn: Callable[[], Awaitable[None]],
        ask: Callable[[Place, str | bytes | None], Awaitable[None]],
    ) -> None:
        """Suspect none.

        Args:
            learn: Learns which nodes have slots, and forgets those here that have none.
            ask: Asks a node with a command about a key, which it would refuse in the same states as others.
        """
        self.reasons: dict[Place, str] = {}
        """The nodes that are away, each with what it last said or did."""
        self._suspects: dict[Place, str | bytes | None] = {}
        """The nodes that are asked, each with a key of theirs, if one is known; some are not asked yet."""
        self._learn = learn
        self._ask = ask
        self._asked = asyncio.Event()
        """Set, and made anew, when all suspects were asked."""
        self.task: asyncio.Task[None] | None = None
        """Asks the suspects."""

    def suspect(self, place: Place, key: str | bytes | None, error: BaseException) -> None:
        """Ask a node from now on, if its failure to carry out a command may be one to carry out any."""
        if _may_be_away(error):
            self._ask_from_now_on(place, key)

    def doubt(self, places: Iterable[Place]) -> None:
        """Ask these nodes as well, whether or not they have failed."""
        for place in places:
            self._ask_from_now_on(place, None)

    def _ask_from_now_on(self, place: Place, key: str | bytes | None) -> None:
        self._suspects[place] = self._suspects.get(place) or key
        if self.task is None or self.task.done():
            self.task = asyncio.create_task(self._watch(), name="abe-redis asks nodes that are away")

    def keep(self, places: set[Place]) -> None:
        """Forget the nodes that have no slots any more."""
        for place in self._suspects.keys() - places:
            self._forget(place)

    async def verdict(self) -> None:
        """Wait until every suspect was asked."""
        while self._suspects.keys() - self.reasons.keys() and self.task is not None and not self.task.done():
            await self._asked.wait()

    async def _watch(self) -> None:
        try:
            while self._suspects:
                try:
                    await self._learn()
                except exceptions.RedisError as error:
                    _LOG.debug("No node reported the slots: %s", error)
                await asyncio.gather(*map(self._judge, list(self._suspects)))
                self._tell()
                if self._suspects:
                    await asyncio.sleep(AGAIN_SECONDS)
        finally:
            self._suspects.clear()
            self.reasons.clear()
            self._tell()

    def _tell(self) -> None:
        self._asked.set()
        self._asked = asyncio.Event()

    async def _judge(self, place: Place) -> None:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await self._ask(place, self._suspects[place])
        except TimeoutError:
            said = "it does not answer"
        except failures.FAILURES as error:
            if not _may_be_away(error):
                self._forget(place)
                return
            said = str(error)
        else:
            self._forget(place)
            return
        if place in self._suspects:
            self.reasons[place] = said

    def _forget(self, place: Place) -> None:
        self._suspects.pop(place, None)
        self.reasons.pop(place, None)


def _may_be_away(error: BaseException) -> bool:
    """Whether a node that fails so may fail for everybody, until something changes."""
    if failures.is_refused_login(error) or isinstance(error, (exceptions.AskError, exceptions.TryAgainError)):
        return False
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError, EOFError)):
        return True
    return state_of(error) is not None and not is_full(error)
