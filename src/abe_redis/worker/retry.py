"""What a failure means: a value, apart from the code that carries it out."""

import random
from collections.abc import Callable
from dataclasses import dataclass

from abe_redis.events.event import Event
from abe_redis.runtime.nouns import count
from abe_redis.sanitize.exceptions import describe


@dataclass(frozen=True, slots=True)
class Retry:
    """Deliver the event again."""

    delay: float = 0
    """Seconds until the next delivery."""

    def __str__(self) -> str:
        return f"it is delivered again in {self.delay:.1f} s"


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
"""What a failure means; a value, apart from the code that carries it out."""

type Policy = Callable[[Event, Exception], Decision]

_MOST_DOUBLINGS = 100
"""Largest exponent: a float could not hold much more, and any delay has reached its limit by then."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Retry after a delay that doubles; bury after the last delivery that the settings allow."""

    first: float = 1.0
    """Seconds before the second delivery."""
    most: float = 300.0
    """Longest delay in seconds."""
    deliveries: int = 5
    """Deliveries after which the event is buried."""

    def __call__(self, event: Event, error: Exception) -> Decision:
        """The decision for a delivery that failed."""
        if event.deliveries >= self.deliveries:
            return Bury(f"handler failed {count(event.deliveries, 'time')}, last with {describe(error)}")
        doublings = min(event.deliveries - 1, _MOST_DOUBLINGS)
        delay = min(self.first * 2.0**doublings, self.most)
        # Events that failed together should not return together.
        return Retry(delay * random.uniform(0.5, 1))  # noqa: S311
