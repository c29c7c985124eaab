"""What happened, as it was seen from outside: who published, started, finished and died when.

Times are seconds of one clock that goes on for everybody, whatever else stands still.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

type What = Literal[
    "accepted",  # publish() returned
    "start",  # a handler was given an event
    "done",  # and ended well
    "failed",  # or badly
    "cancelled",  # or was told to stop
    "buried",  # an event is among the dead letters
    "redriven",  # and was taken out of them again
    "gone",  # a process ended, or was killed
    "answered",  # the server answered a process that asks all the time
    "destroyed",  # somebody removed a group, or a stream with its groups
    "joined",  # a group is there for the first time in a stream
    "dropped",  # somebody removed a consumer, and with it what Redis knew of its events
    "removed",  # somebody removed an event from its stream, by XDEL, XTRIM, DEL or FLUSHALL
]


class Record(NamedTuple):
    """Something that happened."""

    at: float
    what: What
    process: str = ""
    group: str = ""
    event: str = ""
    """What makes the event the same event."""
    stream: str = ""
    conversation: str = ""
    """What is handled in order; empty when nothing is."""
    deliveries: int = 0
    """The count that the handler was told; with `buried`, the count at which it was given up."""
    run: int = 0
    """What a start and its end have in common."""
    clock: float = 0.0
    """The process's own clock."""
    since: float = 0.0
    """With `answered`, when the server had answered before."""


class Outage(NamedTuple):
    """A time in which a process could not reach the server, or stood still."""

    process: str
    """Which; empty: all."""
    begin: float
    end: float
    is_unnoticed: bool = False
    """Whether its clocks stood still, too, so that it cannot know."""


class Group(NamedTuple):
    """What is promised in a group."""

    ordered: bool = False
    max_deliveries: int = 5
    at_a_time: int = 1
    """How many events one process begins at once at most."""


@dataclass
class Left:
    """What was left of a group when everything had its time."""

    unfinished: set[str] = field(default_factory=set)
    """Events that are pending or unread."""
    lost: dict[str, int] = field(default_factory=dict)
    """How many the group itself counts as lost, by stream."""


@dataclass
class History:
    """All that is known of a run."""

    groups: Mapping[str, Group]
    leases: Mapping[str, float]
    """By process, how long its lease lasts."""
    records: list[Record] = field(default_factory=list)
    agents: set[str] = field(default_factory=set)
    """Processes whose deliveries do not count."""
    outages: list[Outage] = field(default_factory=list)
    left: dict[str, Left] = field(default_factory=dict)
    in_order: bool = True
    """Whether the events of a conversation are numbered in the order in which they were published."""
    given_up: set[str] = field(default_factory=set)
    """Events that were let go on purpose, with a log of it: trimmed away from a group that nobody uses."""

    def note(self, record: Record) -> None:
        """Write something down."""
        self.records.append(record)


class Violation(NamedTuple):
    """A promise that was not kept."""

    rule: str
    event: str
    sentence: str
