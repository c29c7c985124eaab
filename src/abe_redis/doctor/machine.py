"""What waits on this machine, which can be told also while Redis is away."""

from collections.abc import AsyncIterator

import anyio.to_thread

from abe_redis.doctor.context import Finding, ok, problem, warning
from abe_redis.errors import OutboxError
from abe_redis.publishing.outbox_file import OutboxFile, OutboxSize
from abe_redis.settings import Settings


async def outbox(settings: Settings) -> AsyncIterator[Finding]:
    """Whether something waits in the file of `REDIS_OUTBOX`, or was refused."""
    path = settings.redis_outbox
    if path is None:
        return

    def look() -> OutboxSize:
        file = OutboxFile(path)
        try:
            return file.size()
        finally:
            file.close()

    try:
        size = await anyio.to_thread.run_sync(look)
    except OutboxError as error:
        yield problem(str(error))
        return
    if size.refused:
        yield problem(
            f"Redis refused {size.refused} {_events(size.refused)} for good; {path} keeps them, with why.",
            "Mend what that says, and publish them again.",
        )
    if size.waiting:
        yield warning(
            f"{size.waiting} {_events(size.waiting)} wait in {path} for Redis.",
            "A process with this REDIS_OUTBOX delivers them by itself once Redis takes them: keep one "
            "running, and the file.",
        )
    if not (size.refused or size.waiting):
        yield ok(f"Nothing waits in {path}.")


def _events(count: int) -> str:
    return "event" if count == 1 else "events"
