"""Keeping what an agent leased: renewed while it is about, given back when it has gone quiet."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import anyio

from abe_redis import faults
from abe_redis.connection import Connections
from abe_redis.errors import AbeRedisError
from abe_redis.streams import lease, release

_LOG = logging.getLogger(__name__)

QUIET_SECONDS = 600.0
"""A slow thinker keeps its lease this long after its last call."""

_GIVE_BACK_SECONDS = 2.0


class LeaseKeeper:
    """The leases taken through one server, whoever took them."""

    def __init__(
        self,
        connections: Callable[[], Awaitable[Connections]],
        lease_seconds: float,
        *,
        quiet_seconds: float = QUIET_SECONDS,
    ) -> None:
        self._open = connections
        self._lease_seconds = lease_seconds
        self._quiet_seconds = quiet_seconds
        self._held: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        """Per group and consumer: stream and id of what is held, with its number of deliveries."""
        self._last_call = time.monotonic()

    def touch(self) -> None:
        """Note that the agent made a call."""
        self._last_call = time.monotonic()

    def held(self, consumer: str) -> list[tuple[str, str]]:
        """Stream and id of what is kept for a consumer, in all its groups."""
        return [key for (_, name), entries in self._held.items() if name == consumer for key in entries]

    def hold(self, stream: str, group: str, consumer: str, entry_id: str, deliveries: int) -> None:
        """Keep an entry's lease from now on."""
        self._held.setdefault((group, consumer), {})[stream, entry_id] = deliveries

    def forget(self, stream: str, group: str, consumer: str, ids: Sequence[str]) -> None:
        """Keep these leases no longer."""
        for entry_id in ids:
            self._held.get((group, consumer), {}).pop((stream, entry_id), None)

    async def run(self) -> None:
        """Renew until nobody has called for long, and all is given back."""
        while True:
            await anyio.sleep(min(self._lease_seconds, self._quiet_seconds) / 3)
            try:
                if not self._is_quiet():
                    await self._renew()
                    continue
                await self.give_back()
            except (*faults.FAILURES, AbeRedisError) as error:
                _LOG.warning("Leases could not be renewed (%s); trying again.", type(error).__name__)
            else:
                if self._is_quiet():  # still: a call may have come meanwhile
                    return

    def _is_quiet(self) -> bool:
        return time.monotonic() - self._last_call > self._quiet_seconds

    async def _renew(self) -> None:
        for (group, consumer), entries in list(self._held.items()):
            if entries:
                redis = (await self._open()).commands
                for stream, entry_id in await lease.renew(redis, group, consumer, list(entries)):
                    self.forget(stream, group, consumer, [entry_id])

    async def give_back(self) -> None:
        """Give back everything, as not delivered.

        Raises:
            redis.RedisError: The server refused it or could not be reached.
            AbeRedisError: The connections cannot be opened.
        """
        for (group, consumer), entries in list(self._held.items()):
            if entries:
                known = {key: deliveries - 1 for key, deliveries in entries.items()}
                redis = (await self._open()).commands
                await release.release(
                    redis, group, consumer, list(lease.by_stream(entries)), known, everything=False
                )
            self._held.pop((group, consumer), None)

    @asynccontextmanager
    async def returning_unseen(
        self, stream: str, group: str, consumer: str, *, own_name: bool
    ) -> AsyncIterator[None]:
        """Give back what a read leased whose answer never came, because it failed or was cancelled.

        Only under a name that is ours alone (`own_name`); under another's, its lease runs out.
        """
        try:
            yield
        except BaseException:
            if own_name:
                known = dict.fromkeys(self._held.get((group, consumer), {}), release.KEEP)
                with anyio.move_on_after(_GIVE_BACK_SECONDS, shield=True):
                    try:
                        redis = (await self._open()).commands
                        await release.release(redis, group, consumer, [stream], known, everything=True)
                    except (*faults.FAILURES, AbeRedisError) as error:
                        _LOG.warning("A lease that nobody saw has to run out: %s.", type(error).__name__)
            raise
