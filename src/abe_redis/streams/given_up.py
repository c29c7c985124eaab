"""What a person took from consumers that may have read it ahead: an erased, acked, buried or released entry.

A consumer learns of it with its next record, lets go of what it has not begun, and confirms that.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from redis.asyncio import Redis

from abe_redis.streams import names, peek, slots
from abe_redis.streams.scripts import Argument, Script

_CONFIRM = Script.load("confirm_given_up")


async def confirm(redis: Redis, group: str, consumer: str, looked: Mapping[str, str]) -> None:
    """Confirm that a consumer has let go of what a person took from it.

    Args:
        redis: The client.
        group: The group.
        consumer: The consumer.
        looked: Per stream the number that `record_progress` answered before the consumer looked.
    """

    async def run(streams: Sequence[str]) -> None:
        arguments: list[Argument] = [group, consumer, *(looked[stream] for stream in streams)]
        await _CONFIRM(redis, names.with_records(streams), arguments)

    await slots.each(slots.by_slot(redis, list(looked)), run)


async def groups(redis: Redis, stream: str) -> list[str]:
    """The groups of a stream from whose consumers a person took something, also those that are destroyed."""
    fields: Any = await redis.hkeys(names.records(stream))
    found = (field.decode(errors="replace") for field in fields)
    return [field.removeprefix("taken ") for field in found if field.startswith("taken ")]


_LATELY_SECONDS = 60


async def unconfirmed(redis: Redis, stream: str, group: str) -> set[str]:
    """The consumers that have not confirmed yet what a person took from them in the last minute."""
    said: Any = await redis.hget(names.records(stream), f"taken {group}")
    lines = (said or b"").decode(errors="replace").split("\n")
    found = [line.split(" ", 2) for line in lines if line]
    if not found:
        return set()
    since = await peek.now(redis) - _LATELY_SECONDS
    return {name for at, _, name in found if int(at) / 1e6 > since}
