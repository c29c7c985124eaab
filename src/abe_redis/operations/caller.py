"""The caller: its name, its scope, and its records in the audit."""

from collections.abc import Sequence

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.errors import SettingsError
from abe_redis.operations.agent_leases import AgentLeases
from abe_redis.operations.caller_limits import Limits
from abe_redis.operations.recording import Origin, person
from abe_redis.operations.scope import Scope
from abe_redis.streams import names


class Caller:
    """A person or an agent, and its leases."""

    def __init__(
        self,
        backend: RedisMessageQueueBackend,
        *,
        origin: Origin | None = None,
        streams: Sequence[str] = (),
        caller: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Create the operations without I/O.

        Args:
            backend: The backend to operate on.
            origin: `mcp` for an agent or `cli` for a person; the audit records their changes.
            streams: Names and patterns that restrict the streams further.
            caller: The name of one of several callers, for its leases and its changes in the audit.
            limits: What the caller may do; by default everything.
        """
        given: object = backend
        if not isinstance(given, RedisMessageQueueBackend):  # not repeated: a URL may hold a password
            raise SettingsError(
                f"{type(self).__name__} takes a RedisMessageQueueBackend, not {type(given).__name__!r}: make "
                "one with RedisMessageQueueBackend.from_env()."
            )
        self._backend = backend
        self._settings = backend.settings
        self._origin = origin
        configured, is_shell = backend.settings.redis_stream_consumer, origin == "cli"
        base = person() if is_shell and configured is None else backend.settings.consumer_name
        self.consumer = "-".join(filter(None, (origin, base, caller)))
        """The consumer name of leases, unless the caller gives one. A person's is the same in every shell of
        this machine, so that one command settles what another one has leased."""
        self.is_name_unique = not is_shell and configured is None
        """Whether no other process holds events under that name."""
        who = self.consumer if origin == "mcp" else None
        self._scope = Scope(backend, streams=streams, origin=origin, who=who, limits=limits)
        self.agent_leases = AgentLeases(backend.connections, self._settings.redis_stream_lease_seconds)
        """Renews the leases of this caller, while its `run` runs."""

    def holder(self, consumer: str | None) -> str:
        """The consumer under which the caller holds events that it leases under a name.

        A person may use any name. An agent's name always begins with its own: a name proves nothing, since
        everyone can see which consumer holds what. Otherwise an agent could lease under the name of a worker.

        Raises:
            InvalidNameError: The name is not allowed.
        """
        if consumer is None:
            return self.consumer
        names.check_consumer(consumer)
        within = f"{self.consumer}."
        if self._origin != "mcp" or consumer == self.consumer or consumer.startswith(within):
            return consumer
        return names.check_consumer(f"{within}{consumer}")
