"""Checks of this machine, which need no Redis: the outbox, and slack-bolt."""

from collections.abc import AsyncIterator, Iterator
from contextlib import closing

import anyio.to_thread

from abe_redis.doctor.context import Finding, ok, problem, warning
from abe_redis.errors import OutboxError
from abe_redis.publishing.outbox_file import OutboxFile, OutboxSize
from abe_redis.runtime import bolt_releases, plurals
from abe_redis.runtime.shell import quoted
from abe_redis.settings import Settings


async def outbox(settings: Settings) -> AsyncIterator[Finding]:
    """Whether the file of `REDIS_OUTBOX` works, and holds waiting or refused events."""
    path = settings.redis_outbox
    if path is None:
        return

    def measure() -> OutboxSize:
        with closing(OutboxFile(path)) as file:
            file.check()
            return file.size()

    try:
        size = await anyio.to_thread.run_sync(measure)
    except OutboxError as error:
        yield problem(str(error))
        return
    if not path.is_absolute():
        yield warning(
            f"REDIS_OUTBOX is {str(path)!r}, which is another file in each working directory; here it is "
            f"{path.absolute()}.",
            "Give the whole path, so that every process of yours uses the same file.",
        )
    if size.refused:
        yield problem(
            f"{plurals.count(size.refused, 'event')} in {path} cannot be delivered: Redis refused them for "
            "good, or the disk damaged them. The file has the reason for each.",
            "Fix the reasons, and let the events be tried again as below, or give them up: DELETE FROM event "
            "WHERE refused IS NOT NULL.",
            " ".join(["sqlite3", quoted(str(path.absolute())), '"UPDATE event SET refused = NULL"']),
        )
    if size.waiting:
        yield warning(
            f"{plurals.count(size.waiting, 'event waits', 'events wait')} in {path} for Redis, the oldest "
            f"for {plurals.duration(size.oldest_waiting_seconds)}.",
            "A process with this REDIS_OUTBOX forwards them as soon as Redis accepts them: keep the file, "
            "and keep one such process running.",
        )
    if not (size.refused or size.waiting):
        yield ok(f"Nothing waits in {path}.")


def bolt() -> Iterator[Finding]:
    """Whether the installed slack-bolt is one that handlers are tested with; silent without one."""
    release = bolt_releases.installed()
    if release is not None and not bolt_releases.is_supported(release):
        yield warning(
            f"slack-bolt {release} is not among the releases that a Bolt app in a worker is tested with.",
            f'pip install "slack-bolt{bolt_releases.requirement()}"',
        )
