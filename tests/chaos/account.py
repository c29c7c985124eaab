"""What came of a run: what was accepted, processed, lost and repeated."""

from collections import Counter
from dataclasses import dataclass, field

from tests.chaos.history import Violation


@dataclass
class Account:
    """What came of a run."""

    accepted: set[int] = field(default_factory=set)
    processed: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    pending: int = 0
    orphans: int = 0
    stray_keys: list[str] = field(default_factory=list)
    violations: list[Violation] = field(default_factory=list)
    """What the history says against the promise, of both groups."""
    seconds: float = 0

    @property
    def lost(self) -> set[int]:
        return self.accepted - set(self.processed)

    @property
    def repeated(self) -> int:
        return sum(count - 1 for count in self.processed.values())
