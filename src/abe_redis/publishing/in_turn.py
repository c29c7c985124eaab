"""The events of one call: each goes to Redis, or behind others of its stream that wait in the outbox."""

from collections.abc import Sequence

from abe_redis.publishing.outbox_delivery import Outbox
from abe_redis.streams.outcomes import Outcomes
from abe_redis.streams.publish import Draft


class InTurn:
    """Some events, and what has become of each."""

    def __init__(
        self, outbox: Outbox | None, drafts: Sequence[Draft], outcomes: Outcomes | None = None
    ) -> None:
        self._outbox = outbox
        self.drafts = drafts
        self.outcomes = outcomes or Outcomes()
        """What has become of them; it is kept up to date, also in a failure."""

    @property
    def left(self) -> list[tuple[int, Draft]]:
        """Those that neither Redis nor the outbox has, with their numbers."""
        return [(at, draft) for at, draft in enumerate(self.drafts) if at not in self.outcomes.added]

    async def keep_behind(self, until: float | None = None) -> None:
        """Write those into the outbox of whose streams others wait there; of a stream, all or none.

        Args:
            until: Monotonic time until which to wait for the file; None: as long as such an event may.

        Raises:
            OutboxError: One could not be written.
        """
        if self._outbox is None:
            return
        free = set[str]()
        for number, draft in self.left:
            if draft.stream in free:
                continue  # else a later one would be written before an earlier one
            kept = await self._outbox.keep_behind(draft, until)
            if kept is None:
                free.add(draft.stream)
            else:
                self.outcomes.learn(number, kept)

    def check(self) -> None:
        """Refuse to send them while others of their streams wait, which may have happened meanwhile.

        Raises:
            TimeoutError: They do; the next try finds the events behind them.
        """
        if self._outbox is not None and any(self._outbox.is_ahead(draft.stream) for _, draft in self.left):
            raise TimeoutError("earlier events of the stream wait in the outbox")
