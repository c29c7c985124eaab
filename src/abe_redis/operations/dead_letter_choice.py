"""Which dead letters a command or a tool means: by id, reason, group, type, handler and age."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self, TypedDict, Unpack

from abe_redis.errors import InvalidArgumentError
from abe_redis.operations.checks import check_id
from abe_redis.operations.dead_letter_kinds import says
from abe_redis.schemas import DeadLetter
from abe_redis.streams.names import check_group


class AskedLetters(TypedDict, total=False):
    """Which dead letters somebody asks for: those that match every given field, as in `Choice`."""

    ids: Sequence[str]
    reason: str | None
    group: str | None
    event_type: str | None
    handler: str | None
    since: str | None
    until: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice of dead letters: those that match every given field."""

    ids: Sequence[str] = ()
    """Ids of dead letters, or of the events that they were, as logs name them."""
    everything: bool = False
    """All of them; required when no other field is given."""
    reason: str | None = None
    """Text that the reason contains, ignoring case."""
    group: str | None = None
    """The group that gave up on them."""
    event_type: str | None = None
    """The type of the Slack event."""
    handler: str | None = None
    """The handler that failed, or the listener of a Bolt app."""
    older_than_seconds: float | None = None
    """Least time since they were buried."""
    since: str | None = None
    """Only those buried from that point on, as in `2h` (ago), `2026-01-31T09:00` or an id."""
    until: str | None = None
    """Only those buried before that point."""

    @classmethod
    def of(cls, *, is_filtered: bool = False, **asked: Unpack[AskedLetters]) -> Self:
        """The choice for a request; without any field, all dead letters.

        Args:
            is_filtered: As for `check`.
            asked: The request.
        """
        return cls(everything=not (is_filtered or any(asked.values())), **asked)

    def check(self, *, is_filtered: bool = False) -> None:
        """Refuse an empty choice.

        Args:
            is_filtered: Whether it is narrowed by what the events are about, too.

        Raises:
            RequestError: Nothing was chosen, or an id is not valid.
            InvalidNameError: The name of the group is not allowed, as an empty one.
        """
        for one in self.ids:
            check_id("An id", one)
        if self.group is not None:
            check_group(self.group)
        aged = any(one is not None for one in (self.older_than_seconds, self.since, self.until))
        chosen = (self.ids, self.reason, self.group, self.event_type, self.handler, aged, is_filtered)
        if self.everything and any(chosen):
            raise InvalidArgumentError(
                "--all means every dead letter of the stream: leave it out, or leave out the ids and filters."
            )
        if not (self.everything or any(chosen)):
            raise InvalidArgumentError("Say which dead letters: ids, a filter such as --reason, or --all.")

    def facts(self, found: Sequence[str], asked: Mapping[str, object]) -> dict[str, object]:
        """The choice for the audit, and the ids of those that were found and changed.

        Of what the events are about, only the kinds of filters: the audit outlives an erasure.
        """
        return {
            "ids": list(found),
            "reason": self.reason,
            "group": self.group,
            "event_type": self.event_type,
            "handler": self.handler,
            "filters": [name for name, value in asked.items() if value],
            "older_than_seconds": self.older_than_seconds,
            "since": self.since,
            "until": self.until,
        }

    @staticmethod
    def named(letter: DeadLetter) -> set[str]:
        """The ids by which a dead letter is known."""
        return {letter.id, letter.first_id, letter.entry_id}

    def matches(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether a dead letter matches."""
        return (
            (not self.ids or not self.named(letter).isdisjoint(self.ids))
            and (self.reason is None or says(letter.reason, self.reason))
            and self.group in {None, letter.group}
            and self.event_type in {None, letter.event_type}
            and self.handler in {None, letter.handler}
            and (
                self.older_than_seconds is None
                or (now - letter.buried_at).total_seconds() >= self.older_than_seconds
            )
        )
