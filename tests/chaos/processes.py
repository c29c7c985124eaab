"""What each process could know and tell, by what was seen of it: its answers, its silences, its end.

Whatever costs a process its lease excuses that somebody else has its events; and what it did in its last
moments, it may have told nobody.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from tests.chaos.history import History, Outage, Record

_LEASE_PART = 0.6
"""A lease is renewed in a third of its time at the latest, so an outage of this part of it may end it."""
SLACK_SECONDS = 0.25
"""Seconds in which one who is back has noticed what others did meanwhile."""
_LATE_SECONDS = 0.4
"""An answer that takes longer may cost a lease."""
_TELLING_ANSWERS = 3
"""A process has told Redis of a start or an end when it was answered so often since, one after the other.

It asks each 0.1 s, and telling takes 40 milliseconds and three round trips at most, however busy the machine
is. What a process had not told when it was killed, nobody may know.
"""
_TELLING_SECONDS = 0.3
"""The same for a process that does not write down when it was answered."""


class Processes:
    """The processes of a history."""

    def __init__(self, history: History, records: Sequence[Record]) -> None:
        """Look at a history.

        Args:
            history: All that is known.
            records: Its records, by their time.
        """
        self._history = history
        self._records = records
        self.gone = {record.process: record.at for record in records if record.what == "gone"}
        self._outages = _joined([*history.outages, *self._waits()])
        self._answers: dict[str, list[Record]] = defaultdict(list)
        self._silences: dict[tuple[str, int], float] = {}
        """For how long a process had written nothing down when it started something."""
        self._starts: dict[tuple[str, int], float] = {}
        last = dict[str, float]()
        for record in self._records:
            if record.what == "answered":
                self._answers[record.process].append(record)
            elif record.what == "start":
                self._starts[record.process, record.run] = record.at
                silence = record.at - last.get(record.process, record.at)
                self._silences[record.process, record.run] = silence
            last[record.process] = record.at

    def _waits(self) -> Iterator[Outage]:
        """How long processes waited for an answer, as on a busy machine."""
        for record in self._records:
            if record.what == "answered" and record.at - record.since > _LATE_SECONDS:
                yield Outage(record.process, record.since, record.at)

    def _told_at(self, process: str, at: float) -> float:
        """When Redis knew of a start or an end at the latest, if nothing came between."""
        answers = self._answers.get(process)
        if not answers:
            return at + _TELLING_SECONDS
        first = bisect_left(answers, at, key=lambda answer: answer.since)
        later = answers[first + _TELLING_ANSWERS - 1 :]
        return later[0].at if later else float("inf")

    def was_told(self, process: str, at: float, began: float) -> bool:
        """Whether Redis knew of a start, or of an end, before anything came between.

        Args:
            process: Whose handler it was.
            at: When it started, or ended.
            began: When it started.
        """
        told_at = self._told_at(process, at)
        return not (
            self.gone.get(process, float("inf")) <= told_at
            or self.is_away(process, began, told_at)
            or any(
                outage.process in {"", process} and outage.begin <= told_at and outage.end >= at
                for outage in self._history.outages
            )
        )

    def was_about_to(self, process: str, run: int) -> bool:
        """Whether a process stood still for a lease between its last look at the clock and a start.

        Nothing can come between these two but such a standstill, so the start is the first thing that it does
        when it wakes.
        """
        lease = self._history.leases[process]
        silence = self._silences[process, run] if process in self._answers else 0.0
        return silence >= _LEASE_PART * lease - SLACK_SECONDS or self._could_not_know(process, run)

    def _could_not_know(self, process: str, run: int) -> bool:
        """Whether a start is the first thing that a process does after its clocks stood still with it."""
        started = self._starts[process, run]
        return any(
            outage.is_unnoticed
            and outage.process == process
            and outage.begin <= started <= outage.end + SLACK_SECONDS  # a test may let it go on earlier
            and not any(
                outage.begin <= at < started for (name, _), at in self._starts.items() if name == process
            )
            for outage in self._history.outages
        )

    def is_away(self, process: str, since: float, now: float) -> bool:
        """Whether an outage may have cost a process its lease."""
        lease = self._history.leases[process]
        return any(
            outage.process in {"", process}
            and outage.begin < now
            and outage.end >= since - lease
            and min(outage.end, now) - outage.begin >= _LEASE_PART * lease - SLACK_SECONDS
            for outage in self._outages
        )


def _joined(outages: Iterable[Outage]) -> list[Outage]:
    """Outages of one process that touch are one."""
    joined: dict[str, list[Outage]] = defaultdict(list)
    for outage in sorted(outages, key=lambda one: one.begin):
        theirs = joined[outage.process]
        if theirs and outage.begin <= theirs[-1].end:
            last = theirs.pop()
            theirs.append(last._replace(end=max(last.end, outage.end)))
        else:
            theirs.append(outage)
    return [outage for theirs in joined.values() for outage in theirs]
