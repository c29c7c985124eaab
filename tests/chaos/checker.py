"""Whether the promise was kept, by what was seen from outside.

Nothing here knows the engine: it reads a history and the promise of docs/delivery.md. Whatever costs a
process its lease excuses that somebody else has its events; nothing excuses an event that is gone.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import inf

from tests.chaos.history import History, Left, Record, Violation
from tests.chaos.processes import SLACK_SECONDS, Processes


@dataclass
class Run:
    """A handler at work."""

    record: Record
    end: float = inf
    outcome: str = ""

    @property
    def process(self) -> str:
        return self.record.process

    @property
    def start(self) -> float:
        return self.record.at


_FLOOR_SECONDS = 3.0
"""A group that was destroyed begins again at what it had finished so long ago at most."""


def violations(history: History) -> list[Violation]:
    """Everything that should not have happened."""
    checker = _Checker(history)
    return [violation for group in sorted(history.groups) for violation in checker.check(group)]


class _Checker:
    def __init__(self, history: History) -> None:
        self._history = history
        self._records = sorted(history.records, key=lambda record: record.at)
        self._processes = Processes(history, self._records)
        self._accepted: dict[str, Record] = {}
        self._removed = {record.event for record in self._records if record.what == "removed"}
        for record in self._records:
            if record.what == "accepted":
                self._accepted.setdefault(record.event, record)

    def check(self, group: str) -> Iterator[Violation]:
        theirs = [record for record in self._records if record.group == group]
        runs = self._runs(theirs)
        yield from self._lost(group, theirs)
        yield from self._counts(group, theirs)
        per_event: dict[str, list[Run]] = defaultdict(list)
        for run in runs:
            per_event[run.record.event].append(run)
        destroyed = [record for record in theirs if record.what == "destroyed"]
        redriven: dict[str, list[float]] = defaultdict(list)
        for record in theirs:
            if record.what == "redriven":
                redriven[record.event].append(record.at)
        for event, its in per_event.items():
            yield from self._at_once(its, "twice at once", f"event {event}", destroyed)
            yield from self._again(event, its, redriven[event], destroyed)
        if self._history.groups[group].ordered:
            yield from self._order(group, runs, theirs, destroyed)

    def _runs(self, records: Iterable[Record]) -> list[Run]:
        runs: dict[tuple[str, int], Run] = {}
        for record in records:
            if record.what == "start":
                runs[record.process, record.run] = Run(record, self._processes.gone.get(record.process, inf))
            elif record.what in {"done", "failed", "cancelled"}:
                run = runs[record.process, record.run]
                run.end, run.outcome = min(run.end, record.at), record.what
        return list(runs.values())

    # Nothing is lost --------------------------------------------------------------------------------

    def _missing(self, group: str, records: list[Record], left: Left) -> list[str]:
        """What is gone: neither finished nor unfinished."""
        ended = {record.event for record in records if record.what in {"done", "buried"}}
        gone = self._accepted.keys() - ended - left.unfinished - self._history.given_up
        return sorted(gone - self._before_it_joined(group), key=_order_of)

    def _missing_by_stream(self, group: str, records: list[Record], left: Left) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for event in self._missing(group, records, left):
            found[self._accepted[event].stream].append(event)
        return found

    def _before_it_joined(self, group: str) -> set[str]:
        """What was accepted before a group was there, while another was: it finds what that one left."""
        joined: dict[str, dict[str, float]] = defaultdict(dict)
        for record in self._records:
            if record.what == "joined":
                joined[record.stream].setdefault(record.group, record.at)
        later: dict[str, float] = {
            stream: theirs[group]
            for stream, theirs in joined.items()
            if group in theirs and theirs[group] > min(theirs.values())
        }
        return {
            event for event, record in self._accepted.items() if record.at < later.get(record.stream, 0.0)
        }

    def _lost(self, group: str, records: list[Record]) -> Iterator[Violation]:
        done = {record.event for record in records if record.what == "done"}
        dead = {record.event for record in records if record.what == "buried"}
        left = self._history.left.get(group, Left())
        for stream, missing in self._missing_by_stream(group, records, left).items():
            if kept := [event for event in missing if event not in self._removed]:
                yield Violation(
                    "lost",
                    kept[0],
                    f"group {group}: {len(kept)} accepted events of {stream!r} are neither done, dead, "
                    f"pending nor unread, and nobody removed them: {', '.join(kept[:10])}",
                )
            elif len(missing) > (counted := left.lost.get(stream, 0)):
                yield Violation(
                    "lost",
                    missing[0],
                    f"group {group}: {len(missing)} events of {stream!r} that somebody removed are "
                    f"unfinished, and {counted} are counted as lost: {', '.join(missing[:10])}",
                )
        stuck = sorted((left.unfinished & self._accepted.keys()) - done - dead, key=_order_of)
        if stuck:
            yield Violation(
                "stuck", stuck[0], f"group {group}: still unfinished at the end: {', '.join(stuck[:10])}"
            )

    # Counts -----------------------------------------------------------------------------------------

    def _counts(self, group: str, records: list[Record]) -> Iterator[Violation]:
        limit = self._history.groups[group].max_deliveries
        starts, seen, made_again = Counter[str](), set[str](), set[str]()
        unseen: list[Record] = []
        streams = {record.event: record.stream for record in records if record.what == "start"}
        for record in records:
            event = record.event
            is_made_again = record.what == "joined" and bool(made_again & {"", record.stream})
            if record.what in {"destroyed", "dropped"} or is_made_again:
                # Redis forgets its counts, and until the group is there again, nobody counts.
                for one in [one for one in starts if record.stream in {"", streams.get(one)}]:
                    del starts[one]
                if not is_made_again:
                    made_again.add(record.stream)
            elif record.what == "done" and made_again & {"", record.stream}:
                del starts[event]  # the group that was made again may give it once more, as a new one
            elif record.what == "redriven":
                starts[event] = 0
            elif record.what == "start" and record.process in self._history.agents:
                continue  # it does not count, and nothing is buried for it
            elif record.what == "start":
                seen.add(event)
                starts[event] += 1
                was_told = self._processes.was_told(record.process, record.at, record.at)
                fell = record.deliveries < starts[event]
                if not was_told or (fell and self._was_fetched_before(record, records)):
                    starts[event] -= 1
                    continue
                if fell:
                    yield Violation(
                        "count fell",
                        event,
                        f"start {starts[event]} of event {event} in group {group} says delivery "
                        f"{record.deliveries}",
                    )
                if starts[event] > limit:
                    yield Violation(
                        "too many starts",
                        event,
                        f"event {event} was started {starts[event]} times in group {group}; limit {limit}",
                    )
            elif record.what == "buried" and record.deliveries and event not in seen:
                unseen.append(record)
        yield from self._unseen(group, unseen)

    def _was_fetched_before(self, start: Record, records: list[Record]) -> bool:
        """Whether another began it since its group was destroyed, and this process may have it from before.

        While its lease lasts, a process begins what it has fetched without asking Redis, which counts it for
        the new group when somebody fetches it there.
        """
        since = start.at - self._history.leases[start.process]
        recent = [one for one in records if since <= one.at < start.at]
        destroyed = [one.at for one in recent if one.what == "destroyed" and one.stream in {"", start.stream}]
        return any(
            one.what == "start" and one.event == start.event and one.process != start.process
            for one in recent
            if destroyed and one.at > destroyed[-1]
        )

    def _unseen(self, group: str, buried: list[Record]) -> Iterator[Violation]:
        """What was buried for its deliveries though no handler saw it.

        A start is counted before the handler begins, so one who is killed between the two never begins it.
        """
        for number, record in enumerate(buried):
            since = self._accepted[record.event].at if record.event in self._accepted else 0.0
            gone = sum(since < at <= record.at for at in self._processes.gone.values())
            if record.deliveries > gone or number >= gone * self._history.groups[group].at_a_time:
                yield Violation(
                    "buried unseen",
                    record.event,
                    f"event {record.event} was buried in group {group} after {record.deliveries} deliveries, "
                    f"and no handler had seen it",
                )

    # One at a time ----------------------------------------------------------------------------------

    def _at_once(self, runs: list[Run], rule: str, what: str, destroyed: list[Record]) -> Iterator[Violation]:
        runs = sorted(runs, key=lambda run: run.start)
        for at, later in enumerate(runs):
            for earlier in runs[:at]:
                if earlier.end <= later.start or self._is_excused(earlier, later, destroyed):
                    continue
                yield Violation(
                    rule,
                    later.record.event,
                    f"{what} in group {later.record.group}: {earlier.process} had {earlier.record.event} "
                    f"from {earlier.start:.3f} to {earlier.end:.3f}, and {later.process} started "
                    f"{later.record.event} at {later.start:.3f}",
                )

    def _is_excused(self, earlier: Run, later: Run, destroyed: list[Record]) -> bool:
        """Whether the earlier one's hold may have ended before the later one started."""
        if earlier.process == later.process:
            return False  # one knows what one has in hand
        if self._processes.is_away(
            earlier.process, earlier.start, later.start
        ) or self._processes.was_about_to(later.process, later.record.run):
            return True
        # The group begins again where it had finished: others are given what was in somebody's hand.
        return any(
            earlier.start - SLACK_SECONDS <= one.at <= later.start and one.stream in {"", later.record.stream}
            for one in destroyed
        )

    # Not again --------------------------------------------------------------------------------------

    def _again(
        self, event: str, runs: list[Run], redriven: list[float], destroyed: list[Record]
    ) -> Iterator[Violation]:
        done = [run for run in runs if run.outcome == "done"]
        for one in done:
            for later in runs:
                if later.start <= one.end:
                    continue
                if any(one.end <= at <= later.start for at in redriven) or self._was_not_acked(one):
                    continue
                if one.process != later.process and self._processes.was_about_to(
                    later.process, later.record.run
                ):
                    continue
                if any(
                    one.end - _FLOOR_SECONDS <= record.at <= later.start
                    and record.stream in {"", later.record.stream}
                    for record in destroyed
                ):
                    continue
                yield Violation(
                    "again though done",
                    event,
                    f"event {event} was done by {one.process} at {one.end:.3f} in group "
                    f"{one.record.group}, and {later.process} started it at {later.start:.3f}",
                )
                return

    def _was_not_acked(self, run: Run) -> bool:
        """Whether something came between a handler's end and its ack, or the server lost the ack."""
        if not self._processes.was_told(run.process, run.end, run.start):
            return True
        soon = run.end + self._history.leases[run.process] + SLACK_SECONDS
        return any(
            not outage.process and outage.begin <= soon and outage.end >= run.start
            for outage in self._history.outages
        )

    # In order ---------------------------------------------------------------------------------------

    def _order(
        self, group: str, runs: list[Run], records: list[Record], destroyed: list[Record]
    ) -> Iterator[Violation]:
        ended = {record.event: record.at for record in reversed(records) if record.what in {"done", "buried"}}
        left = self._history.left.get(group, Left())
        for missing in self._missing_by_stream(group, records, left).values():
            # What somebody removed never ends, and holds up nobody; whether it is counted is another rule.
            ended |= dict.fromkeys(self._removed.intersection(missing), 0.0)
        gone = self._before_it_joined(group) - left.unfinished - ended.keys()
        ended |= dict.fromkeys(gone | (self._history.given_up - ended.keys()), 0.0)
        accepted: dict[str, list[Record]] = defaultdict(list)
        for record in self._accepted.values():
            if record.conversation:
                accepted[record.conversation].append(record)
        conversations: dict[str, list[Run]] = defaultdict(list)
        for run in runs:
            if run.record.conversation:
                conversations[run.record.conversation].append(run)
        for name, theirs in conversations.items():
            yield from self._at_once(theirs, "two of a conversation", f"conversation {name}", destroyed)
            if not self._history.in_order:
                continue
            for run in theirs:
                for before in accepted[name]:
                    number = _order_of(before.event)
                    if number >= _order_of(run.record.event) or before.at > run.start:
                        continue
                    if ended.get(before.event, inf) > run.start:
                        yield Violation(
                            "out of order",
                            run.record.event,
                            f"group {group}: {run.process} started {run.record.event} of conversation "
                            f"{name} at {run.start:.3f}, before {before.event} had ended",
                        )
                        break


def _order_of(event: str) -> tuple[int, str]:
    """Events are numbered in the order of their publishing, within a conversation at least."""
    return (int(event), "") if event.isdigit() else (-1, event)
