"""Groups: creating them on their streams, and the records about them.

Redis forgets a group with its consumers, and does not say what was removed before a group had read it. So a
hash beside the stream has these records per group:

- `floor`: the position up to which it had finished, how many entries the stream had ever had then, and how
  many of them were unfinished
- `used`: when it last had a consumer; in ms if that consumer recorded the floor then
- `lost`: how many entries were removed before it had finished them
- `paused`: since when it is paused
- `last`: the last id that it was given
- `deleted`: how many entries XDEL had removed when they were last counted
- `forgotten`: its consumers that were removed because they held nothing and were silent
- `reclaimed`: entries that other consumers reclaimed after a lease expired, and from which consumer
- `taken`: what a person took from consumers that may have read it ahead: see `given_up`
- `let go`: entries that consumers released with a delay or buried last, each with the hold that ended so
- `given`: released entries, which are pending under the name `abe:nobody`
- `overtaken`: entries that consumers took over while a blocking read of their own was under way, and that
  handlers had begun before
- `known`: its consumers, and its position, when its pending entries were last listed
- `gone`: entries counted as lost since, because the stream no longer has them
- `replaced`: of a stream that somebody replaced since it was recorded, between which ids all that is gone is
  counted
- `worked`: since when it has had workers, also when none is there now
- `trail`: how often and when it was recorded: see `trail`

Three more fields: `removed` names the groups that our own command removed last; `changed` the last change of
a group by hand, see `turns`; `full` has the bound by which a publisher was refused last, and the length that
the stream had then.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from redis.asyncio import Redis

from abe_redis.streams import ids, names
from abe_redis.streams.beyond_end import say_set_back
from abe_redis.streams.losses import say_replaced, say_unlisted
from abe_redis.streams.scripts import Argument, Script
from abe_redis.streams.trail import Trail

type Readiness = Literal["ready", "paused", "missing", "other"]
"""A stream with the group; the same, but paused; no key; or a key of another type."""


_FORGOTTEN_SECONDS = 7 * 86_400
"""Time for which the records of a deleted stream are kept."""

_ENSURE = Script.load("ensure_group")
_NEW = 2
_REMOVED = 2


@dataclass(frozen=True, slots=True)
class Ensured:
    """The result of `ensure_group` for a stream."""

    state: Readiness
    lost: int
    """How many entries are newly found to be removed before the group had finished them; not those of a
    stream that somebody replaced, which the log has told."""
    again: bool = False
    """Whether somebody had removed the group, so that it was made again."""
    new: bool = field(default=False, compare=False)
    """Whether the group was made for the first time."""
    was_known: bool = field(default=True, compare=False)
    """Whether the records knew the group before."""
    removed: bool = field(default=False, compare=False)
    """Whether the records do not know it because our own command removed it."""


async def ensure_group(
    redis: Redis, streams: Sequence[str], group: str, *, worker: bool = False
) -> list[Ensured]:
    """Create the group on each existing stream that lacks it; never create a stream.

    A new group starts at the very beginning, so that an event published before its first
    consumer existed is delivered. One that was deleted starts where it had finished, and one that
    stands beyond the end of its stream is set back: see `beyond_end`.

    Args:
        redis: The client.
        streams: The streams.
        group: The group.
        worker: Whether a worker asks, after which the group counts as one that had workers; else an agent or
            a person does.
    """
    arguments: list[Argument] = [group, _FORGOTTEN_SECONDS * 1000, int(worker)]
    answers = await _ENSURE.each(
        redis,
        streams,
        arguments,
        keys=lambda some: [
            key
            for one in some
            for key in (one, names.records(one), names.leases(one, group), names.pending(one, group))
        ],
    )
    for stream, answer in zip(streams, answers, strict=True):
        say_set_back(stream, group, answer[4])
    return [
        Ensured(
            state.decode(),
            lost - say_replaced(stream, group, replaced),
            again=made == 1,
            new=made == _NEW,
            was_known=was_known == 1,
            removed=was_known == _REMOVED,
        )
        for stream, (state, lost, made, was_known, _, replaced) in zip(streams, answers, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class History:
    """The entries that a stream holds for a group that is new."""

    began: float
    """When its oldest entry was published, in seconds since the epoch."""
    length: int
    groups: list[str]


async def history(redis: Redis, stream: str) -> History | None:
    """The entries with which a new group of a stream begins; None without any."""
    pipeline = redis.pipeline(transaction=False)
    pipeline.xrange(stream, count=1)
    pipeline.xlen(stream)
    pipeline.xinfo_groups(stream)
    first, length, rows = await pipeline.execute()
    if not first:
        return None
    names_of = [row["name"].decode(errors="replace") for row in rows]
    return History(began=ids.moment(first[0][0]).timestamp(), length=length, groups=names_of)


_RECORD = Script.load("record_progress")


@dataclass(frozen=True, slots=True)
class Progress:
    """The result of `record_progress` for a stream."""

    lost: int
    """Number of entries newly found to be removed before the group had finished them; not those of a
    stream that somebody replaced, which the log has told."""
    unfinished: int
    """Number of entries that the group has not finished, as far as Redis knows; -1: see `is_left_out`."""
    is_full: bool = False
    """Whether the server has no memory left."""
    length: int = field(default=-1, compare=False)
    """How many entries the stream has; -1 if it was left out, or there is no such group."""
    put_back: int = 0
    """How many entries it put back that a removed consumer had held."""
    trail: Trail | None = field(default=None, compare=False)
    """The trail of the group's records; None if there is no record."""
    given_up: str = field(default="", compare=False)
    """The number by which the consumer confirms that it let go of what a person took from it; empty if
    nobody took anything."""
    unlisted: int = field(default=0, compare=False)
    """How many of the lost entries a removed consumer had held, and nobody can tell from finished ones."""

    @property
    def is_left_out(self) -> bool:
        """Whether another consumer has recorded it recently, so that nothing was looked at."""
        return self.unfinished < 0

    @property
    def has_no_group(self) -> bool:
        """Whether there is no such group, or no stream."""
        return self.length < 0 and not self.is_left_out


async def record_progress(
    redis: Redis, streams: Sequence[str], group: str, *, recent_seconds: float = 0, consumer: str = ""
) -> list[Progress]:
    """Record the floor of a group in each stream, in case the group or the stream is deleted.

    Args:
        redis: The client.
        streams: The streams.
        group: The group.
        recent_seconds: A stream is left out that any consumer has recorded for so many seconds.
        consumer: The consumer that asks what a person took from it.
    """
    arguments: list[Argument] = [group, round(recent_seconds * 1000), consumer]
    answers = await _RECORD.each(redis, streams, arguments, keys=lambda some: names.with_all(some, group))
    found = []
    for stream, answer in zip(streams, answers, strict=True):
        lost, unfinished, is_full, length, put_back, moved, trail, unlisted, replaced, given_up = answer
        say_set_back(stream, group, moved)
        say_unlisted(stream, group, unlisted)
        lost -= say_replaced(stream, group, replaced)
        words = (lost, unfinished, bool(is_full), length, put_back, Trail.read(trail), given_up.decode())
        found.append(Progress(*words, unlisted=unlisted))
    return found
