"""The outbox: keeps events on disk while Redis cannot take them, and forwards them later.

An event that Redis could not take within publish's budget becomes a row of an SQLite file, synced
to disk before `keep` returns, and is sent from there with the identity and the attempt it had at
first: if Redis already has it, nothing is added.

Processes may share a file. Each writes and delivers rows under a name of its own, in the order of each
stream, and holds a lock on `FILE-NAME.lock` while it lives. The kernel drops the lock however the process
ends, and whoever takes it then delivers what was left, before its own events of the same streams, for which
the others wait, too. Nobody waits for what another that lives has published; for the file itself, only as
long as a write takes.

What Redis refuses for good stays in the file with its reason and blocks nobody. To try again:
`UPDATE event SET refused = NULL`. A process whose user may not publish what another left lets go of it.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
from redis.exceptions import RedisError

from abe_redis.client import failures
from abe_redis.client.connections import Connections
from abe_redis.errors import AbeRedisError, ClosedError, InvalidNameError, OutboxError, OutboxFullError
from abe_redis.events.published import Published
from abe_redis.publishing import outbox_failures
from abe_redis.publishing.outbox_appends import Appends
from abe_redis.publishing.outbox_complaints import Complaints
from abe_redis.publishing.outbox_failures import OutboxUnreachedError
from abe_redis.publishing.outbox_fate import Fate, NotPermittedError, fate_of, raise_while_away
from abe_redis.publishing.outbox_file import OutboxFile, OutboxSize
from abe_redis.publishing.outbox_held_up import HeldUp, all_of
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.publishing.outbox_queue import Queue
from abe_redis.publishing.outbox_rows import DAMAGED, Batch, Row
from abe_redis.publishing.outbox_sent import Sent
from abe_redis.publishing.outbox_thread import FileThread
from abe_redis.runtime import tasks
from abe_redis.settings import Settings
from abe_redis.streams import names, slots
from abe_redis.streams.publish import Draft, publish

_LOG = logging.getLogger(__name__)

KEEP_SECONDS = 0.4
"""Time that a publish which has used up its tries waits for the file's lock; Slack waits three seconds for
the host's answer."""
KEEP_BEHIND_SECONDS = 2.5
"""Time for a publish that has not tried Redis, because events wait already."""

_ROOM_SECONDS = 0.1
"""Pause of such a publish before it looks again whether forwarding has made room on a full disk."""

LOOK_SECONDS = 5.0
"""Interval at which an idle process searches for rows of a dead one."""

_HELD_UP_SECONDS = 1.0
"""Interval of trying again what one stream holds up."""


class Outbox:
    """Keeps events while Redis is away, and forwards them when it is back."""

    def __init__(
        self,
        path: Path,
        settings: Settings,
        connections: Callable[[], Awaitable[Connections]],
        on_delivered: Callable[[str, Published], Awaitable[None]],
    ) -> None:
        self._file = OutboxFile(path)
        self._thread = FileThread(self._file.path)
        self._appends = Appends(self._file, self._thread)
        self._settings = settings
        self._hard_maxlen = settings.redis_stream_hard_maxlen
        self._open = connections
        self._on_delivered = on_delivered
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._closed = False
        self._away = False
        """True after the log said that Redis is away, until it says that Redis is back."""
        self._elsewhere = self._file.inherited.elsewhere
        self._complaints = Complaints(path, settings, self._file.inherited)
        self._reason = ""  # why Redis did not take the last event that was offered to it
        self._queue = Queue(self._file.path, self._file.inherited, self.start, self._is_stopped)
        self._leaves = False
        """True if events were left to other processes, which may publish them."""
        self._forwards = False  # whether Redis takes what waits
        self._held_up: dict[str, HeldUp] = {}
        """What is passed by in the rows of each process."""

    async def keep(self, draft: Draft, reason: AbeRedisError, *, published_at: float) -> Kept:
        """Write an event that Redis could not take. When this returns, the event is safe on disk.

        Args:
            draft: The event.
            reason: The failure of Redis.
            published_at: The time of the first try, in seconds since the epoch.

        Raises:
            OutboxFullError: The outbox or its disk is full.
            OutboxError: The file cannot be used.
            ClosedError: The outbox is closed.
        """
        if self._closed:
            raise ClosedError
        try:
            number = await self._appends.append(Row(draft, published_at), _soon(KEEP_SECONDS))
        except OutboxError as error:
            raise outbox_failures.not_kept(error, f"{reason} ") from None
        self._reason = str(reason)
        if not self._away:
            self._away = True
            _LOG.warning("%s Events are kept in the outbox %s until it takes them.", reason, self._file.path)
        return self._kept(number, draft.stream)

    async def keep_behind(self, draft: Draft, until: float | None = None) -> Kept | None:
        """Write an event if others of its stream still wait that this process forwards; else return None.

        Args:
            draft: The event.
            until: Monotonic time until which to wait for the file; None: for `KEEP_BEHIND_SECONDS`.

        Raises:
            OutboxError: As for `keep`, but for a file that cannot be used: nothing is forwarded from it.
        """
        until = _soon(KEEP_BEHIND_SECONDS) if until is None else until
        await self._queue.wait(draft.stream)
        if self._closed or not self._may_wait(draft.stream):
            return None
        until = max(until, _soon(KEEP_SECONDS))
        while True:
            try:
                number = await self._appends.append_behind(Row(draft), until)
            except OutboxFullError as error:
                if not self._forwards or _soon(_ROOM_SECONDS) > until:
                    raise outbox_failures.not_kept(error) from None
                await anyio.sleep(_ROOM_SECONDS)  # forwarding makes room
            except OutboxError as error:
                if self._complaints.notes_unusable(error):
                    return None
                raise outbox_failures.not_kept(error) from None
            else:
                self._complaints.is_unusable = False
                return None if number is None else self._kept(number, draft.stream)

    def is_ahead(self, stream: str) -> bool:
        """Whether an event of this stream may wait behind which others have to go."""
        return self._may_wait(stream) and not (self._closed or self._complaints.is_unusable)

    def _may_wait(self, stream: str) -> bool:
        return self._file.may_wait(stream) or self._appends.are_of(stream)

    def _is_stopped(self) -> bool:
        return self._closed or self._away or self._complaints.are_any

    def _kept(self, number: int, stream: str) -> Kept:
        self.start()
        self._work.set()
        return Kept(
            f"outbox-{number}",
            duplicate=False,
            length=0,
            stream=stream,
            reason=self._reason or self._complaints.last,
        )

    async def size(self) -> OutboxSize:
        """The number of events in the file, of all processes.

        Raises:
            OutboxError: The file cannot be used.
        """
        return await self._thread.run(self._file.size)

    # What its task does -----------------------------------------------------------------------

    @property
    def exists(self) -> bool:
        """Whether there is a file, in which an earlier process may have left events."""
        return os.path.exists(self._file.path)  # noqa: PTH110 - which never raises

    def start(self) -> None:
        """Start forwarding; a second call does nothing."""
        if (self._task is None or self._task.done()) and not self._closed:
            self._task = asyncio.create_task(self._run(), name="abe-redis outbox")

    async def _run(self) -> None:
        """Forward the rows of this process and of dead ones; a failure is a pause."""
        await self._look_first()
        self._held_up.clear()
        failed, is_full = 0, False
        while True:
            self._work.clear()
            try:
                self._leaves = False
                writers = await self._claim(is_full=is_full)
                if writers or self._elsewhere.is_any:
                    await self._forward(writers, revive=failed > 0)
                self._complaints.is_unusable = False
                self._away = any(held.waits_for_redis for held in self._held_up.values())
                if self._away:
                    self._elsewhere.excuse()
                failed, is_full = 0, False
                if not (self._away or self._leaves):
                    self._complaints.are_over()
            except (*failures.FAILURES, AbeRedisError) as error:
                failed += 1
                self._held_up.clear()  # some may have been read and not settled
                self._elsewhere.excuse()
                is_full = is_full or isinstance(error, OutboxFullError)
                if not self._complaints.notes_unusable(error):
                    self._complaints.tell(error, is_away=self._away)
                await anyio.sleep(failures.pause_seconds(failed))
            except Exception:  # noqa: BLE001 - kept events must not wait for the next process
                failed += 1
                self._held_up.clear()
                _LOG.exception("Delivering from the outbox %s failed; trying again.", self._file.path)
                await anyio.sleep(LOOK_SECONDS)
            else:
                if self._held_up:  # what is kept meanwhile waits as well
                    await anyio.sleep(_HELD_UP_SECONDS)
                    continue
                with anyio.move_on_after(LOOK_SECONDS):
                    await self._work.wait()

    async def _claim(self, *, is_full: bool) -> list[str]:
        """The writers whose rows to forward; on a full disk, only when Redis answers."""
        if not is_full:
            return await self._thread.run(self._file.claim)
        connections = await self._open()
        await connections.revive()
        await connections.commands.ping()
        return await self._thread.run(self._file.claim_on_full_disk)

    async def _look_first(self) -> None:
        """Find what publishing waits for, and log what keeps the outbox from working in an outage."""
        try:
            await self._thread.run(self._file.claim)
        except OutboxError as error:
            if self._complaints.notes_unusable(error):
                return
        await self._complaints.look_for_trouble(_soon(KEEP_BEHIND_SECONDS))

    async def _forward(self, writers: list[str], *, revive: bool) -> None:
        """Send the rows of these processes, if Redis is there."""
        connections = await self._open()
        if revive:
            await connections.revive()
        await connections.check()
        if self._elsewhere.is_any:
            await raise_while_away(connections.commands)
        for number, writer in enumerate(writers):
            await self._deliver(writer, connections, writers[:number])

    async def _deliver(self, writer: str, connections: Connections, earlier: list[str]) -> None:
        """Send the rows of one process, in the order of each stream, and delete those that Redis has."""
        held = self._held_up.get(writer)
        if held is None or held.losses != self._file.losses:
            held = self._held_up[writer] = HeldUp(self._elsewhere, self._file.losses)
        held.ahead = all_of(self._held_up[one] for one in earlier if one in self._held_up)
        sent = Sent()
        try:
            for stream in [one for one in held.first if slots.is_here(connections.commands, one)]:
                read_to, before = held.read_to, held.try_again(stream)
                batch = await self._thread.run(self._file.first, writer, before, 1)
                await self._send(writer, batch, held, connections, sent)
                held.read_to = read_to if stream in held.first else min(read_to, before)
            while any(batch := await self._thread.run(self._file.first, writer, held.read_to)):
                await self._send(writer, batch, held, connections, sent)
            if not held.first:
                del self._held_up[writer]
                await self._thread.run(self._file.release, writer)
        except NotPermittedError:
            del self._held_up[writer]
            await self._thread.run(self._file.leave, writer)
            self._leaves = True
        finally:
            self._forwards = False
            sent.tell(self._file.path)

    async def _send(
        self, writer: str, batch: Batch, held: HeldUp, connections: Connections, sent: Sent
    ) -> None:
        """Send some rows, but for those that their streams hold up."""
        done: list[int] = []
        refusals = dict.fromkeys(batch.damaged, DAMAGED)
        sent.reason = DAMAGED if refusals else sent.reason
        try:
            for row in batch.rows:
                if held.passes_by(row):
                    continue
                try:
                    # Another program may have written into the file.
                    names.check_stream(row.draft.stream)
                    (published,) = await publish(
                        connections.publishing, [row.marked(self._file.ages)], hard_maxlen=self._hard_maxlen
                    )
                except InvalidNameError as error:
                    sent.reason = refusals[row.number] = str(error)
                except RedisError as error:
                    match await fate_of(error, connections.commands, row.draft.stream):
                        case Fate.REFUSED:
                            doing = f"publishing to {row.draft.stream!r}"
                            sent.reason = str(failures.explain(error, self._settings, doing=doing))
                            refusals[row.number] = sent.reason
                        case Fate.ALL_WAIT:
                            raise
                        case fate:
                            self._complaints.tell(error, is_away=self._away)
                            if fate is Fate.NOT_PERMITTED and not self._file.is_own(writer):
                                raise NotPermittedError from error
                            held.hold(row)
                else:
                    done.append(row.number)
                    self._forwards = True
                    await self._on_delivered(row.draft.stream, published)
                held.read_to = row.number
        finally:
            await self._thread.run(self._file.settle, writer, done, refusals)
            sent.delivered, sent.refused = sent.delivered + len(done), sent.refused + len(refusals)

    # The end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        """Stop forwarding; the remaining rows stay on disk for another process."""
        self._closed = True
        if self._task is not None:
            await tasks.end(self._task)
        with contextlib.suppress(OutboxError):
            try:
                await self._thread.run(self._file.close)
            except OutboxUnreachedError:  # the interpreter ends, so no thread can be started any more
                self._file.close()

    def forsake(self) -> None:
        """Release the file of a loop that has ended without `close`."""
        self._closed = True
        self._file.forsake()


def _soon(seconds: float) -> float:
    return time.monotonic() + seconds
