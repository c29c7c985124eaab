"""Somebody who operates the queue by the engine's own operations, and knows what each of them promises."""

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Iterator

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.chaos.history import Violation
from tests.simulation import look
from tests.simulation.play import Play
from tests.simulation.schedule import STREAMS
from tests.simulation.server.streams import Stream, shown

_LOOKS_AGAIN_SECONDS = 2.5
"""A group stands still so long after it was paused: its consumers look every two seconds."""
_PERHAPS = float("inf")


class Operator:
    """Operates the queue of a play."""

    def __init__(self, play: Play, settings: Settings) -> None:
        self._play = play
        self._process = play.world.process("operator")
        with play.world.as_process(self._process):
            scope = Scope(RedisMessageQueueBackend(settings))
        self._groups, self._letters = Groups(scope), DeadLetters(scope)
        self._asked: dict[tuple[str, str], float] = {}
        """By group and event, when it was last sent back to work: it must end after that."""
        self._purged = set[tuple[str, str]]()
        self._paused: dict[tuple[str, str], float] = {}
        """By stream and group, since when; `_PERHAPS` when nobody knows whether it stands still."""
        self._stood: list[tuple[str, str, float, float]] = []
        """Where nothing may have begun: stream, group, from and to."""

    # What is asked for --------------------------------------------------------------------------

    def redrive(self, stream: str, group: str, *, twice: bool) -> None:
        """Redrive what a group gave up; twice at once, as two people do."""
        letters = {letter: event for letter, of, event in self._dead(stream) if of == group}
        if not letters:
            return
        self._ask(stream, group, letters.values())
        choice = Choice(ids=tuple(letters))
        self._operate(*[lambda: self._letters.redrive(stream, choice)] * (2 if twice else 1))

    def purge(self, stream: str, group: str) -> None:
        """Remove the dead letters of a group for good."""
        letters = {letter: event for letter, of, event in self._dead(stream) if of == group}
        if letters:
            self._purged |= {(group, event) for event in letters.values()}
            self._operate(lambda: self._letters.purge(stream, Choice(ids=tuple(letters))))

    def reset(self, stream: str, group: str) -> None:
        """Set a group back to the beginning: it gets everything again, though others may have it in hand."""
        if self._has(stream, group):
            self._forget(stream, group)
            self._operate(lambda: self._groups.reset(stream, group, start="beginning", force=True))
            self._counts_begin_anew(stream, group)

    def remove(self, stream: str, group: str) -> None:
        """Remove a group with all that is known of it; a worker that lives makes it anew."""
        if self._has(stream, group):
            self._forget(stream, group)
            self.end_pause(stream, group)  # it goes with all that is known of the group
            self._operate(lambda: self._groups.remove(stream, group, force=True))
            self._counts_begin_anew(stream, group)

    def replay(self, stream: str, group: str) -> None:
        """Let a group have everything again, but not what it has not finished."""
        if self._has(stream, group):
            finished = [event for _, event in self._entries(stream, group, finished=True)]
            for event in finished:
                self._play.actors.note("redriven", "operator", group=group, event=event, stream=stream)
            self._operate(lambda: self._groups.replay(stream, group))

    def pause(self, stream: str, group: str) -> None:
        """Let a group stand still."""
        if self._has(stream, group) and self._paused.get((stream, group), _PERHAPS) == _PERHAPS:
            is_paused = self._operate(lambda: self._groups.pause(stream, group))
            self._paused[stream, group] = self._play.world.now if is_paused else _PERHAPS

    def resume(self, stream: str, group: str) -> None:
        """Let it go on."""
        if (stream, group) in self._paused:
            self.end_pause(stream, group)
            if self._operate(lambda: self._groups.resume(stream, group)):
                del self._paused[stream, group]

    def end_pause(self, stream: str, group: str) -> None:
        """From now on it may go on, or stand still until it is resumed."""
        if (paused := self._paused.get((stream, group))) is not None:
            self._stood.append((stream, group, paused + _LOOKS_AGAIN_SECONDS, self._play.world.now))
            self._paused[stream, group] = _PERHAPS

    def end_pauses(self) -> None:
        """The same of all groups."""
        for stream, group in list(self._paused):
            self.end_pause(stream, group)

    def resume_all(self) -> None:
        """Let every group go on."""
        for stream, group in list(self._paused):
            self.resume(stream, group)

    # What must be true then ---------------------------------------------------------------------

    def violations(self) -> Iterator[Violation]:
        """What these operations promise, and was not kept."""
        play = self._play
        ends: dict[tuple[str, str], float] = {}
        gave_up = defaultdict[tuple[str, str], int](int)
        for record in play.history.records:
            if record.what in {"done", "buried"}:
                ends[record.group, record.event] = record.at
            if record.what == "buried":
                gave_up[record.group, record.event] += 1
        lost = any(any(left.lost.values()) for left in play.history.left.values())
        for (group, event), at in self._asked.items():
            if ends.get((group, event), 0.0) < at and not lost and event not in play.history.given_up:
                yield Violation(
                    "not again", event, f"event {event} was sent back to {group}, and nothing came"
                )
        for stream, group, begin, end in self._stood:
            for record in play.history.records:
                began = (record.stream, record.group) == (stream, group) and begin < record.at < end
                if record.what == "start" and began:
                    yield Violation("paused", record.event, f"{group} began {record.event} while paused")
        for stream in STREAMS:
            for _, group, event in self._dead(stream):
                if not gave_up[group, event]:
                    yield Violation("not dead", event, f"{event} is a dead letter that {group} never gave up")

    # How ----------------------------------------------------------------------------------------

    def _operate(self, *works: Callable[[], Awaitable[object]]) -> bool:
        """Let it be done, at the same time if it is more than one thing; answers whether all was."""
        left, asked_at, is_done = len(works), self._play.world.now, True

        async def run(work: Callable[[], Awaitable[object]]) -> None:
            nonlocal left, is_done
            try:
                await work()
            except AbeRedisError:
                is_done = False
                # Who asked is told that it was not done, or perhaps not, so nothing has to come of it.
                self._asked = {key: at for key, at in self._asked.items() if at < asked_at}
            finally:
                left -= 1

        world = self._play.world
        for work in works:
            with world.as_process(self._process):
                self._process.spawn(run(work), "operates")
        world.run(world.now + 20, done=lambda: not left)
        if left:
            raise AssertionError("an operation did not end within 20 seconds")
        return is_done

    def _ask(self, stream: str, group: str, events: Iterable[str]) -> None:
        for event in events:
            self._asked[group, event] = self._play.world.now
            self._play.actors.note("redriven", "operator", group=group, event=event, stream=stream)

    def _forget(self, stream: str, group: str) -> None:
        """A group that begins again: others get what somebody has in hand, and counts begin anew."""
        self._counts_begin_anew(stream, group)
        there = [event for _, event in self._entries(stream, group, finished=False)]
        # What a worker has in hand and somebody deleted cannot come again, and the force gives it up.
        accepted = {record.event for record in self._play.history.records if record.what == "accepted"}
        self._play.history.given_up |= accepted.difference(there)
        self._ask(stream, group, there)

    def _counts_begin_anew(self, stream: str, group: str) -> None:
        """Note that, before the operation and when it is done: it was at some time in between."""
        self._play.actors.note("destroyed", "operator", group=group, stream=stream)

    def _has(self, stream: str, group: str) -> bool:
        of = look.stream_of(self._play.world.server.db, stream)
        return of is not None and group.encode() in of.groups

    def _entries(self, stream: str, group: str, *, finished: bool) -> Iterator[tuple[str, str]]:
        """Entries that this group may have; those that it has finished, if that is asked for."""
        of = look.stream_of(self._play.world.server.db, stream)
        if of is None:
            return
        its = of.groups[group.encode()]
        for entry, fields in of.entries.items():
            words = dict(zip(fields[::2], fields[1::2], strict=True))
            is_finished = entry <= its.last and entry not in its.pending
            if words.get(b"abe:only", group.encode()) == group.encode() and (is_finished or not finished):
                yield shown(entry).decode(), look.number_in(words[b"data"])

    def _dead(self, stream: str) -> Iterator[tuple[str, str, str]]:
        """Each dead letter, with who gave up which event."""
        of = self._play.world.server.db.values.get(f"dead:{{{stream}}}".encode())
        if isinstance(of, Stream):
            for entry, fields in list(of.entries.items()):
                words = dict(zip(fields[::2], fields[1::2], strict=True))
                group = words[b"abe:group"].decode()
                yield shown(entry).decode(), group, look.number_in(words[b"data"])
