"""Decides what a failure means; other code carries the decision out."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from abe_redis.errors import AnswerTooLateError, SettingsError
from abe_redis.events.event import Event
from abe_redis.runtime.arguments import check_count, check_flag, check_seconds, check_text
from abe_redis.runtime.plurals import count
from abe_redis.sanitize.exceptions import describe
from abe_redis.schemas import MAX_DELAY_SECONDS
from abe_redis.worker.slack_errors import (
    SLACK_ERRORS,
    Meaning,
    check_meanings,
    code_of,
    seconds_to_wait,
)


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver the event again.

    Args:
        delay: Seconds until the next delivery; at most 7 days.
        counts: Whether this delivery counts among those after which an event is buried.
    """

    delay: float = 0
    """Seconds until the next delivery; at most 7 days."""
    counts: bool = True
    """Whether this delivery counts among those after which an event is buried."""

    def __post_init__(self) -> None:
        check_seconds("Retry's delay", self.delay, most=MAX_DELAY_SECONDS)
        check_flag("Retry's counts", self.counts)

    def __str__(self) -> str:
        uncounted = "" if self.counts else ", and this delivery does not count"
        when = f"in {self.delay:.1f} s" if self.delay else "at once"
        return f"it is to be delivered again {when}{uncounted}"


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up on the event: it moves to the dead letters.

    Args:
        reason: The dead letter's reason; not empty.
    """

    reason: str
    """The dead letter's reason; not empty."""

    def __post_init__(self) -> None:
        check_text("Bury's reason", self.reason, kind=SettingsError)

    def __str__(self) -> str:
        return "it is to move to the dead letters"


@dataclass(frozen=True, slots=True)
class Drop:
    """Let the event count as done."""

    def __str__(self) -> str:
        return "it counts as done"


type Decision = Retry | Bury | Drop
"""The decision of a policy about a failure; other code carries it out."""

type Policy = Callable[[Event, Exception], Decision]

_FIRST_SECONDS = 1.0

_MOST_DOUBLINGS = 100
"""Largest exponent: a float could not hold much more, and any delay has reached its limit by then."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Retry after a delay that doubles; the last delivery that is allowed buries the event.

    Some of Slack's errors are not retried so: when Slack limits a rate, the event waits as long as Slack
    says, and the delivery does not count; an error that a retry cannot fix buries the event at once.

    Args:
        first: Seconds before the second delivery; 1, or `most` if that is less. It may come 0.05 s later.
        most: Longest delay in seconds; at most 7 days.
        deliveries: Deliveries after which the event is buried; by default `REDIS_STREAM_MAX_DELIVERIES`.
        slack_errors: The meaning of each error of Slack's; `SLACK_ERRORS | {"not_in_channel": "retry"}`
            changes one.
    """

    first: float = _FIRST_SECONDS
    """Seconds before the second delivery; 1, or `most` if that is less. It may come 0.05 s later."""
    most: float = 300.0
    """Longest delay in seconds; at most 7 days."""
    deliveries: int | None = None
    """Deliveries after which the event is buried; by default `REDIS_STREAM_MAX_DELIVERIES`."""
    slack_errors: Mapping[str, Meaning] = field(default_factory=lambda: SLACK_ERRORS, hash=False, repr=False)
    """The meaning of each error of Slack's. To change one: `SLACK_ERRORS | {"not_in_channel": "retry"}`."""

    def __post_init__(self) -> None:
        check_seconds("Backoff's first", self.first, most=MAX_DELAY_SECONDS)
        check_seconds("Backoff's most", self.most, most=MAX_DELAY_SECONDS)
        if self.first > self.most and self.first != _FIRST_SECONDS:
            raise SettingsError(
                f"Backoff's first delay, {self.first:g} s, is longer than its longest, most={self.most:g}. "
                "Give it a longer most."
            )
        if self.deliveries is not None:
            check_count("Backoff's deliveries", self.deliveries)
        check_meanings(self.slack_errors)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle it, as `multiprocessing` does; the table of Slack's errors is a proxy, which cannot be."""
        return type(self), (self.first, self.most, self.deliveries, dict(self.slack_errors))

    def __call__(self, event: Event, error: Exception) -> Decision:
        """The decision for a delivery that failed.

        Without a number of `deliveries` it never gives up: the worker does, after the last one.
        """
        if isinstance(error, AnswerTooLateError):
            return Bury(describe(error))
        code = code_of(error, self.slack_errors)
        match self.slack_errors.get(code or ""):
            case "wait":
                # Events that were refused together should not return together.
                seconds = seconds_to_wait(error) + random.random()  # noqa: S311
                return Retry(min(seconds, MAX_DELAY_SECONDS), counts=False)
            case "bury":
                return Bury(f"Slack answered {code}, which a retry cannot fix: {describe(error)}")
        if self.deliveries is not None and event.deliveries >= self.deliveries:
            return failed_too_often(event, error)
        return self.later(event)

    def later(self, event: Event) -> Retry:
        """Another delivery after the delay, whatever the failure was."""
        doublings = min(event.deliveries - 1, _MOST_DOUBLINGS)
        delay = min(self.first * 2.0**doublings, self.most)
        # Events that failed together should not return together.
        return Retry(delay * random.uniform(0.5, 1))  # noqa: S311


def failed_too_often(event: Event, error: Exception) -> Bury:
    """The decision for the last delivery that is allowed."""
    return Bury(f"handler failed {count(event.deliveries, 'time')}, last with {describe(error)}")
