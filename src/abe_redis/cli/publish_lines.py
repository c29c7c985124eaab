"""Publishing many events from a file or from stdin, one JSON object per line."""

import asyncio
import sys
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, BinaryIO

from abe_redis.cli.encoding import json_object, like_utf_16
from abe_redis.cli.line_numbers import Interrupted, LineRanges, published
from abe_redis.cli.output import say
from abe_redis.errors import AbeRedisError, InvalidArgumentError, PayloadError
from abe_redis.events import codec
from abe_redis.publishing.outbox_kept import reason_of
from abe_redis.schemas import PublishLinesResult

if TYPE_CHECKING:
    from abe_redis.operations.operations import Operations

_STEP = 500

type _Event = tuple[int, dict[str, Any]]
"""The number of a line, and the event on it."""


class LinesPublisher:
    """Publishes each non-empty line, in order, as soon as it is read, and keeps few of them in memory."""

    def __init__(
        self,
        lines: BinaryIO,
        *,
        stream: str | None,
        first: int,
        skipped: LineRanges,
        on_left_off: Callable[[PublishLinesResult], None],
    ) -> None:
        """Begin before the first line.

        Args:
            lines: JSON objects in UTF-8, one per line.
            stream: By default the host's topic.
            first: The number of the first line to publish, counted from 1.
            skipped: Lines that are not published.
            on_left_off: Called with the result so far when it ends before all is published.
        """
        self._events = _Events(lines, first, skipped)
        self._run = _Run(stream, first, skipped)
        self._first = first
        self._on_left_off = on_left_off

    @property
    def has_begun(self) -> bool:
        """Whether an event is published, or on its way."""
        return self._run.result.lines > 0 or bool(self._run.at.numbers)

    async def publish(
        self, operations: "Operations", on_progress: Callable[[int], None]
    ) -> PublishLinesResult:
        """Publish them.

        A cancellation, as by Ctrl-C, ends it when the events on their way are there; stderr says how to
        continue.

        Args:
            operations: Where to.
            on_progress: Called with the number of events that were just published.

        Raises:
            InvalidArgumentError: The file ends before the first line to publish.
            PayloadError: A line is no JSON object; the sentence says which line, and how to continue.
            AbeRedisError: As for `publish_event`; stderr says how to continue.
        """
        events, result = self._events, self._run.result
        try:
            async for step in _as_they_come(events):
                await self._run.publish(operations, step)
                on_progress(len(step))
        except (AbeRedisError, asyncio.CancelledError):
            self.leave_off()
            raise
        if events.empty:
            say(f"abe-redis: Of these events, {events.empty} are empty ({{}}).", to_stderr=True)
        if events.bad is None and events.last < self._first - 1:  # one may go on behind the last line
            raise InvalidArgumentError(
                f"--from-line is {self._first}, but the file ends at line {events.last}; nothing was "
                "published. Name a line of the file, or leave --from-line out to publish it from the "
                "beginning."
            )
        if events.bad is not None:
            number, why = events.bad
            result.continue_with = f"--from-line {number}"
            self._on_left_off(result)
            raise PayloadError(
                f"Line {number} is no JSON object ({why}). Published before it: {published(result)}. Correct "
                f"it and go on with --from-line {number}, or leave it out with --from-line {number + 1}."
            )
        return result

    def leave_off(self) -> None:
        """Say on stderr how to continue, and tell the result so far."""
        events, run, result = self._events, self._run, self._run.result
        if events.is_over and result.lines == events.count and events.bad is None:
            say(f"abe-redis: Published: {published(result)}, and nothing is left.", to_stderr=True)
        else:
            say(f"abe-redis: {run.at.advice(result)}", to_stderr=True)
            run.at.note(result)
        self._on_left_off(result)


class _Run:
    """Publishes events, and knows at any time which were."""

    def __init__(self, stream: str | None, first: int, skipped: LineRanges) -> None:
        self._stream = stream
        self.result = PublishLinesResult()
        self.at = Interrupted((), first, frozenset(), frozenset(), skipped)

    async def publish(self, operations: "Operations", step: list[_Event]) -> None:
        """Publish events, up to the first that no stream takes.

        Raises:
            PayloadError: There is one; the sentence says on which line.
            AbeRedisError: Publishing failed.
        """
        try:
            await _to_its_end(self._publish(operations, step))
        except PayloadError as error:  # before anything was published
            fit = list(takewhile(_is_fit, step))
            if len(fit) == len(step):
                raise
            if fit:
                await _to_its_end(self._publish(operations, fit))
            number, _ = step[len(fit)]
            self.at = replace(self.at, then=number)
            raise type(error)(
                f"Line {number} was not published. {error} Correct the line, or leave it out with "
                f"--from-line {number + 1}."
            ) from None

    async def _publish(self, operations: "Operations", step: list[_Event]) -> None:
        numbers = [number for number, _ in step]
        self.at = replace(self.at, numbers=numbers, then=numbers[-1] + 1, uncertain=frozenset(numbers))
        try:
            done = await operations.publish_many([one for _, one in step], stream=self._stream)
        except AbeRedisError as error:
            self.at = replace(
                self.at,
                added=frozenset(numbers[place] for place in error.added),
                uncertain=frozenset(numbers[place] for place in error.uncertain),
            )
            every = error.added.values()
            self._note([(one.duplicate, one.is_kept, reason_of(one)) for one in every])
            raise
        self.at = replace(self.at, numbers=(), uncertain=frozenset())
        self._note([(one.duplicate, one.waiting, one.reason) for one in done])

    def _note(self, done: list[tuple[bool, bool, str | None]]) -> None:
        """Count published events: whether each was there already, waits in the outbox, and why it waits."""
        result = self.result
        result.lines += len(done)
        result.duplicates += sum(is_known for is_known, _, _ in done)
        result.waiting += sum(waits for _, waits, _ in done)
        result.added = result.lines - result.duplicates - result.waiting
        result.reason = next((reason for _, _, reason in done if reason), result.reason)


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Let Ctrl-C wait for what it cannot take back; else nobody knows how many of the events are there."""
    task = asyncio.create_task(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise


def own(lines: BinaryIO) -> BinaryIO:
    """The same file, or for stdin a reader of our own.

    Python closes its own reader of stdin when the process ends, and aborts if a thread still waits in it.
    """
    if lines.fileno() != sys.stdin.fileno():
        return lines
    return open(sys.stdin.fileno(), "rb", closefd=False)


class _Events:
    """Numbered payloads up to the first line that holds none; that line is `bad`."""

    def __init__(self, lines: BinaryIO, first: int, skipped: LineRanges) -> None:
        self._lines, self._first, self._skipped = lines, first, skipped
        self.bad: tuple[int, str] | None = None
        self.empty = 0
        """Number of events without any field."""
        self.last = 0
        """The number of the last line that was read."""
        self.count = 0
        """Number of events so far."""
        self.is_over = False
        """Whether the last line was read, or one that holds no event."""

    def __iter__(self) -> Iterator[_Event]:
        number = 0
        try:
            for number, line in enumerate(self._lines, 1):
                self.last = number
                if number < self._first or number in self._skipped or not line.strip():
                    continue
                payload = json_object(line.decode("utf-8-sig" if number == 1 else "utf-8"))
                self.empty += not payload
                self.count += 1
                yield number, payload
        except UnicodeDecodeError as error:
            hint = like_utf_16(error.object)
            self.bad = number, f"it is not UTF-8: {error.reason}{f'; it {hint}' if hint else ''}"
        except ValueError as error:
            self.bad = number, str(error)
        self.is_over = True


async def _as_they_come(events: _Events) -> AsyncIterator[list[_Event]]:
    """Events in order, in batches of those that are there. A pipe that pauses delays neither them nor Ctrl-C.

    A daemon thread reads them, since nothing can interrupt a read of stdin.
    """
    loop, news, room = asyncio.get_running_loop(), asyncio.Event(), threading.Semaphore(2 * _STEP)
    read: deque[_Event | None] = deque()

    def take(event: _Event | None) -> None:
        read.append(event)
        news.set()

    def run() -> None:
        with suppress(RuntimeError):  # the loop is closed, because publishing failed
            for event in events:
                room.acquire()
                loop.call_soon_threadsafe(take, event)
            loop.call_soon_threadsafe(take, None)

    threading.Thread(target=run, daemon=True).start()
    while True:
        while not read:
            news.clear()
            await news.wait()
        step: list[_Event] = []
        while read and len(step) < _STEP and (event := read.popleft()) is not None:
            step.append(event)
            room.release()
        if step:
            yield step
        if not step or event is None:
            return


def _is_fit(event: _Event) -> bool:
    """Whether it can be published at all."""
    try:
        codec.encode(event[1])
    except PayloadError:
        return False
    return True
