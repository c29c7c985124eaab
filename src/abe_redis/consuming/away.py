"""The streams of one consumer whose cluster node is away: no step asks for them, and the others go on."""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence

from redis.asyncio import Redis

from abe_redis.runtime import clock, plurals
from abe_redis.streams import slots

_LOG = logging.getLogger(__name__)

_EVERY_SECONDS = 0.1
"""Interval of looking which streams are away, while a node is."""

_MOST_NAMED = 3


class Away:
    """Which streams are away, and what the log says of it: once when a node goes, once when it is back."""

    def __init__(
        self,
        group: str,
        streams: Callable[[], Iterable[str]],
        on_gone: Callable[[Sequence[str]], None],
        on_back: Callable[[Sequence[str]], None],
    ) -> None:
        """Begin without any.

        Args:
            group: The group of the consumer.
            streams: Returns all streams with which the consumer has to do.
            on_gone: Called with streams that are away from now on.
            on_back: Called with streams that no longer are.
        """
        self.streams: dict[str, str] = {}
        """The streams, each with its node."""
        self._group = group
        self._every = streams
        self._on_gone = on_gone
        self._on_back = on_back
        self._look_at = 0.0

    def here(self, streams: Iterable[str]) -> list[str]:
        """Those streams that are not away."""
        return [stream for stream in streams if stream not in self.streams]

    async def find_out(self, redis: Redis) -> bool:
        """Find out, after a failure, whether it is that of a node whose streams were not left out yet."""
        await slots.judge(redis)
        self._look_at = 0.0
        return self.look(redis)

    def look(self, redis: Redis) -> bool:
        """Find out which streams are away; True if there are more than before."""
        outage = slots.outage(redis)
        if outage is None and not self.streams:  # as nearly always
            return False
        if clock.now() < self._look_at or (outage is not None and outage.is_whole):
            return False
        self._look_at = clock.now() + _EVERY_SECONDS
        found = dict[str, str]()
        if outage is not None:
            every = dict.fromkeys((*self._every(), *self.streams))
            found = {stream: node for stream in every if (node := outage.node_of(stream)) is not None}
        gone = {stream: node for stream, node in found.items() if stream not in self.streams}
        back = {stream: node for stream, node in self.streams.items() if stream not in found}
        for node, streams in _by_node(gone, but=self.streams).items():
            self._say_gone(node, "" if outage is None else outage.reasons[node], streams)
        for streams in _by_node(back, but=found).values():
            self._say_back(streams)
        for stream in back:  # in place, since the steps of the consumer know this object
            del self.streams[stream]
        self.streams.update(found)
        if gone:
            self._on_gone(list(gone))
        if back:
            self._on_back(list(back))
        return bool(gone)

    def _say_gone(self, node: str, said: str, streams: Sequence[str]) -> None:
        _LOG.warning(
            "Group %r cannot read %s: %s of the cluster is away (%s). It reads the other streams, and asks "
            "again until that node, or another one in its place, answers.",
            *(self._group, _named(streams), node, said),
        )

    def _say_back(self, streams: Sequence[str]) -> None:
        _LOG.warning("Group %r reads %s again.", self._group, _named(streams))


def _named(streams: Sequence[str]) -> str:
    names = plurals.first_of(sorted(streams), _MOST_NAMED)
    return names if len(streams) <= _MOST_NAMED else f"{names} ({len(streams)} streams)"


def _by_node(streams: Mapping[str, str], *, but: Mapping[str, str]) -> dict[str, list[str]]:
    """Streams by their node, without the nodes of others."""
    nodes: dict[str, list[str]] = {}
    for stream, node in streams.items():
        if node not in but.values():
            nodes.setdefault(node, []).append(stream)
    return nodes
