"""Decides what a failure means; other code carries the decision out."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from abe_redis.errors import AnswerTooLateError, SettingsError
from abe_redis.events.event import Event
from abe_redis.runtime.plurals import count
from abe_redis.sanitize.exceptions import describe
from abe_redis.worker.slack_errors import SLACK_ERRORS, Meaning, code_of, seconds_to_wait


def _check(of: str, **times: object) -> None:
    """Refuse times that are none, before an event waits for them."""
    for name, given in times.items():
        if not (isinstance(given, int | float) and given >= 0):
            raise SettingsError(f"{of}'s {name} is {given!r}; it must be a number of seconds, at least 0.")


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver the event again."""

    delay: float = 0
    """Seconds until the next delivery."""
    counts: bool = True
    """Whether this delivery counts among those after which an event is buried."""

    def __post_init__(self) -> None:
        _check("Retry", delay=self.delay)

    def __str__(self) -> str:
        uncounted = "" if self.counts else ", and this delivery does not count"
        return f"it is delivered again in {self.delay:.1f} s{uncounted}"


@dataclass(frozen=True, slots=True)
class Bury:
    """Give up on the event: it moves to the dead letters."""

    reason: str

    def __str__(self) -> str:
        return "it moves to the dead letters"


@dataclass(frozen=True, slots=True)
class Drop:
    """Let the event count as done."""

    def __str__(self) -> str:
        return "it counts as done"


type Decision = Retry | Bury | Drop
"""What a failure means; other code carries it out."""

type Policy = Callable[[Event, Exception], Decision]

_MOST_DOUBLINGS = 100
"""Largest exponent: a float could not hold much more, and any delay has reached its limit by then."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Retry after a delay that doubles; bury after the last delivery that the settings allow.

    Some of Slack's errors are not retried so: when Slack limits a rate, the event waits as long as Slack
    says, and the delivery does not count; an error that a retry cannot fix buries the event at once.
    """

    first: float = 1.0
    """Seconds before the second delivery."""
    most: float = 300.0
    """Longest delay in seconds."""
    deliveries: int = 5
    """Deliveries after which the event is buried."""
    slack_errors: Mapping[str, Meaning] = field(default_factory=lambda: SLACK_ERRORS, hash=False, repr=False)
    """What each error of Slack's means. To change one: `SLACK_ERRORS | {"not_in_channel": "retry"}`."""

    def __post_init__(self) -> None:
        _check("Backoff", first=self.first, most=self.most)
        deliveries: object = self.deliveries
        if not isinstance(deliveries, int) or deliveries < 1:
            raise SettingsError(f"Backoff's deliveries is {deliveries!r}; it must be a number, at least 1.")

    def __call__(self, event: Event, error: Exception) -> Decision:
        """The decision for a delivery that failed."""
        if isinstance(error, AnswerTooLateError):
            return Bury(describe(error))
        code = code_of(error, self.slack_errors)
        match self.slack_errors.get(code or ""):
            case "wait":
                # Events that were refused together should not return together.
                return Retry(seconds_to_wait(error) + random.random(), counts=False)  # noqa: S311
            case "bury":
                return Bury(f"Slack answered {code}, which a retry cannot fix: {describe(error)}")
        if event.deliveries >= self.deliveries:
            return Bury(f"handler failed {count(event.deliveries, 'time')}, last with {describe(error)}")
        doublings = min(event.deliveries - 1, _MOST_DOUBLINGS)
        delay = min(self.first * 2.0**doublings, self.most)
        # Events that failed together should not return together.
        return Retry(delay * random.uniform(0.5, 1))  # noqa: S311
