"""Making a group: a new one, or again one that somebody destroyed, without giving up its events unasked."""

from typing import TypedDict

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.errors import RequestError
from abe_redis.runtime.shell import command
from abe_redis.streams import manage, peek
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.unfinished import is_recorded


async def make_again(redis: Redis, stream: str, group: str) -> str | None:
    """Make a destroyed group again; answers where, in words, or None if nothing is recorded of such a group.

    Raises:
        RequestError: The group exists.
    """
    if group in await peek.groups(redis, stream):
        raise _exists(stream, group)
    if not await is_recorded(redis, stream, group):
        return None
    (made,) = await ensure_group(redis, [stream], group)
    if not (made.again or made.new):
        raise _exists(stream, group)
    return "where it had finished" if made.again else "at the beginning"


async def make(
    redis: Redis,
    stream: str,
    group: str,
    position: str,
    *,
    force: bool = False,
    is_agent: bool = False,
    makes_stream: bool = False,
) -> manage.Unfinished:
    """Make a group that gets the events after a position; answers what a destroyed one let go of.

    Args:
        redis: The client.
        stream: The stream.
        group: The group.
        position: The position.
        force: Make a destroyed group even if it has unfinished events.
        is_agent: Whether an agent asks, or a command that has no force.
        makes_stream: Make a stream that does not exist yet, empty.

    Raises:
        RequestError: The group exists, or somebody destroyed it and it has unfinished events.
    """
    try:
        left, made = await manage.create(
            redis, stream, group, position, force=force, makes_stream=makes_stream
        )
    except ResponseError as error:
        if "BUSYGROUP" not in str(error):
            raise
        raise _exists(stream, group) from None
    if made:
        return left
    had = (
        f"Group {group!r} of {stream!r}, which somebody destroyed, has {unfinished(left)} to finish; nothing "
        "was changed."
    )
    if is_agent:
        raise RequestError(f"{had} To make it again where it had finished, leave out since.")
    raise RequestError(
        f"{had} Make it again where it had finished (leave out --from) and let its consumers finish, or "
        "force it (--force): those behind the position are delivered again, those before it are given up."
    )


class Counted(TypedDict):
    """The number of events of a `GroupChange`."""

    events: int
    is_all: bool


def counted(left: manage.Unfinished) -> Counted:
    """How many events a group has unfinished, and whether these are all."""
    return {"events": left.known, "is_all": left.is_all}


def unfinished(left: manage.Unfinished) -> str:
    """As in "3 pending and 10000 or more undelivered events"."""
    passed = left.undelivered
    said = [f"{left.pending} pending"] if left.pending else []
    if passed or not said:
        said.append(f"{passed}{'' if left.is_all else ' or more'} undelivered")
    return f"{' and '.join(said)} {'event' if left.pending + passed == 1 else 'events'}"


def both_counts(left: manage.Unfinished) -> str:
    """As in "0 pending and 10000 or more undelivered events"."""
    undelivered = f"{left.undelivered}{'' if left.is_all else ' or more'}"
    return f"{left.pending} pending and {undelivered} undelivered events"


DESTROYED = "Somebody has destroyed it; a worker of the group makes it again where it had finished."


def offer(stream: str, group: str, *, how: str | None, whose: str, destroyed: bool) -> str:
    """The sentence about how a group is made that does not exist; it never gives up what one has unfinished.

    Args:
        stream: The stream.
        group: The group.
        how: How the caller makes it; None if it may not.
        whose: Why it may not.
        destroyed: Whether somebody destroyed it, and its floor is recorded.
    """
    if how is not None:
        one = "it again" if destroyed else "a new one that starts at the oldest event"
        return f" To make {one}, {how}."
    if destroyed:
        again = command("group create", stream, group)
        return f" {whose}; a person does with `{again}`, or starts this server with --create-groups."
    return (
        f" {whose}: a new group holds back the trimming of the stream. A person makes it with "
        f"`{command('group create', stream, group, options='--from now')}`, or starts this server with "
        "--create-groups."
    )


def _exists(stream: str, group: str) -> RequestError:
    return RequestError(f"The stream {stream!r} has a group {group!r} already; move it with reset.")


def not_removed(stream: str, group: str, left: manage.Unfinished) -> RequestError:
    """Why a group is not removed: it has unfinished events."""
    return RequestError(
        f"Group {group!r} of {stream!r} has {both_counts(left)}; it was not removed. "
        "Let its consumers finish, or force it (--force), which gives them up."
    )
