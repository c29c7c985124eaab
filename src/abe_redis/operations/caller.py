"""Who asks: by which name, within which scope; and what is written down of it."""

import logging
from collections.abc import Sequence

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.client import failures
from abe_redis.operations.agent_leases import AgentLeases
from abe_redis.operations.audit import note_change
from abe_redis.operations.scope import Scope

_LOG = logging.getLogger(__name__)


class Caller:
    """A person or an agent, and what it leases."""

    def __init__(
        self,
        backend: RedisMessageQueueBackend,
        *,
        origin: str | None = None,
        streams: Sequence[str] = (),
        caller: str | None = None,
    ) -> None:
        """Create the operations without I/O.

        Args:
            backend: The backend to operate on.
            origin: `mcp` for an agent, whose changes the audit records, or `cli`.
            streams: Names and patterns that restrict the streams further.
            caller: The name of one of several callers, for its leases and its changes in the audit.
        """
        self._backend = backend
        self._settings = backend.settings
        self._scope = Scope(backend, streams=streams)
        self._origin = origin
        self.consumer = "-".join(filter(None, (origin, backend.settings.consumer_name, caller)))
        """The consumer name of leases for which the caller gives none."""
        self.agent_leases = AgentLeases(backend.connections, self._settings.redis_stream_lease_seconds)
        """Renews the leases that were taken here, while its `run` runs."""

    async def _note(self, tool: str, **facts: object) -> None:
        """Record a change of an agent in the audit, if there was one."""
        if self._origin != "mcp":
            return
        try:
            await note_change((await self._backend.connections()).commands, self.consumer, tool, facts)
        except failures.FAILURES as error:
            sentence = failures.explain(error, self._settings, doing="writing down what an agent did")
            _LOG.warning("%s It was done all the same: %s %s", sentence, tool, facts)
