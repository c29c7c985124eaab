"""Counts what was received and refused, for the log: numbers and reasons, without payloads."""

from collections import Counter
from collections.abc import Sequence
from typing import override

from abe_redis.events.codec import Fields
from abe_redis.events.published import Published
from abe_redis.observability.hooks import EndOfPublishing, EndOfReceiving, Fate, Observer


class Tally(Observer):
    """Counts the payloads that this process receives."""

    def __init__(self) -> None:
        self._received = self._known = 0
        self._ended: dict[Fate, Counter[str]] = {}

    @override
    def receiving(self, door: str) -> EndOfReceiving:
        self._received += 1
        return self._end

    def _end(self, fate: Fate, reason: str) -> None:
        self._ended.setdefault(fate, Counter())[reason] += 1

    @override
    def publishing(self, stream: str, entries: Sequence[Fields]) -> EndOfPublishing:
        return self._published

    def _published(self, published: Sequence[Published], error: BaseException | None) -> None:  # noqa: ARG002
        self._known += sum(one.duplicate for one in published)

    def __str__(self) -> str:
        """As in `5 received: 3 queued (3 to 'slack_events'), 2 refused (2 bad signature)`."""
        parts = [
            self._part("queued", "{count} to {reason!r}"),
            f"{self._known} of them published before" if self._known else "",
            self._part("answered", ""),
            self._part("refused", "{count} {reason}"),
        ]
        counts = ", ".join(part for part in parts if part)
        return f"{self._received} received: {counts}" if counts else f"{self._received} received"

    def _part(self, fate: Fate, each: str) -> str:
        reasons = self._ended.get(fate)
        if not reasons:
            return ""
        told = ", ".join(each.format(count=count, reason=reason) for reason, count in reasons.most_common())
        return f"{reasons.total()} {fate}" + (f" ({told})" if each else "")
