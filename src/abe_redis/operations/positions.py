"""Positions in a stream: `beginning`, `now`, an entry id, a time, a time ago."""

import re
from datetime import UTC, datetime, timedelta

from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError
from abe_redis.operations.checks import check_id
from abe_redis.streams import ids, manage, peek

_EPOCH = datetime.fromtimestamp(0, UTC)
_NUMBER = r"\d{1,9}(?:\.\d{1,3})?"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(duration: str) -> float:
    """A duration such as `90s`, `15m`, `1h30m`, `30d`, `4w` or `0`, in seconds.

    Raises:
        InvalidArgumentError: It is not a duration.
    """
    if (said := duration.strip()) == "0":
        return 0.0
    if not re.fullmatch(rf"(?:{_NUMBER}[smhdw])+", said, re.ASCII):
        raise InvalidArgumentError(f"{duration!r} is no duration; write it as 90s, 15m, 1h30m, 30d or 4w.")
    return sum(
        float(number) * _UNITS[unit] for number, unit in re.findall(rf"({_NUMBER})([smhdw])", said, re.ASCII)
    )


async def position(redis: Redis, stream: str, word: str) -> str:
    """The position before a point of a stream: a group there gets the events from that point on.

    Raises:
        InvalidArgumentError: It is no point, or one that is still to come.
    """
    if word == "beginning":
        return manage.BEGINNING
    if word == "now":
        return manage.NOW
    return ids.before(await _past(redis, stream, word))


async def first(redis: Redis, stream: str, word: str) -> str:
    """The start of a range of a stream, for XRANGE; as for `position`."""
    return "-" if word == "beginning" else await _past(redis, stream, "0s" if word == "now" else word)


async def since(redis: Redis, word: str) -> str:
    """The first id that an entry published at a point or later can have."""
    entry_id = "0-0" if word == "beginning" else await _id(redis, "0s" if word == "now" else word)
    return (
        entry_id if "-" in entry_id else f"{entry_id}-0"
    )  # a bound of milliseconds alone includes all of them


async def last(redis: Redis, stream: str, word: str) -> str:
    """The end of a range of a stream, for XRANGE; it includes the point. As for `position`."""
    if word == "beginning":
        return manage.BEGINNING
    return "+" if word == "now" else await _past(redis, stream, word)


async def before(redis: Redis, stream: str, word: str) -> str:
    """The same, but it does not include the point."""
    return await last(redis, stream, word) if word == "now" else await position(redis, stream, word)


async def within(redis: Redis, stream: str, begins: str, ends: str, until: str | None) -> tuple[str, str]:
    """The start and the end of a range, for XRANGE; `until`, if given, stands in place of `ends`.

    Raises:
        InvalidArgumentError: As for `position`; or the end lies before the beginning.
    """
    begin = await first(redis, stream, begins)
    end = await (last(redis, stream, ends) if until is None else before(redis, stream, until))
    if begin != "-" and end != "+":
        latest = end if "-" in end else f"{end}-{2**64 - 1}"  # milliseconds alone include all of theirs
        if until is None:
            check_not_swapped(begin, latest, ("from", begins), ("to", ends))
        else:
            check_not_swapped(ids.before(begin), latest, ("from", begins), ("until", until))
    return begin, end


def check_not_swapped(begin: str, end: str, begins: tuple[str, str], ends: tuple[str, str]) -> None:
    """Refuse a range of ids that ends before it begins; of each bound also its name, and what was given.

    Raises:
        InvalidArgumentError: The end lies before the beginning.
    """
    if ids.order(begin) > ids.order(end):
        raise InvalidArgumentError(
            f"{ends[0]} is {ends[1]!r}, which lies before {begins[0]}, {begins[1]!r}, so there is nothing in "
            "between. Exchange them."
        )


async def _past(redis: Redis, stream: str, word: str) -> str:
    """As `_id`, but a point later than the server's clock and than the stream's last id is refused.

    Foreign publishers may choose ids that are ahead of the clock, and the clock may have been set back.
    """
    now = await peek.now(redis)
    entry_id = _at(word, now)
    if ids.order(entry_id)[0] <= now * 1000:
        return entry_id
    is_there = await peek.kind(redis, stream) == "stream"
    end, newest = await peek.end(redis, stream) if is_there else (manage.BEGINNING, None)
    if ids.order(entry_id) <= ids.order(end):
        return entry_id
    has = f"the newest entry of {stream!r} is {newest}" if newest else f"{stream!r} has no entry"
    raise InvalidArgumentError(
        f"{word!r} is still to come: the server's clock says {_utc(now)} UTC, and {has}. Times are UTC "
        "unless they say otherwise, as in 2026-01-31T09:00+09:00; write now for the end of the stream."
    )


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


_AGO = re.compile(r"(?:[\d.]+[smhdw])+", re.ASCII)
_ID = re.compile(r"\d{10,20}(?:-\d{1,20})?|(?!\d{4}-\d\d$)\d{1,20}-\d{1,20}", re.ASCII)
"""An entry id, or the milliseconds of one. 2026-01 is none: somebody means a month."""


async def _id(redis: Redis, word: str) -> str:
    """As `_at`, at present."""
    return _at(word, await peek.now(redis) if _AGO.fullmatch(word) else 0.0)


def _at(word: str, now: float) -> str:
    """An entry id, complete or only its milliseconds; XRANGE accepts both."""
    if _ID.fullmatch(word):
        entry_id = check_id("The position", word)
        return entry_id if "-" in word else word
    if _AGO.fullmatch(word):
        return str(max(0, int((now - seconds(word)) * 1000)))
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise InvalidArgumentError(
            f"{word!r} is no point in a stream; write beginning, now, an entry id such as 1732000000000-0, a "
            "time such as 2026-01-31T09:00 (UTC unless it says otherwise), or a time ago such as 2h."
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return str(max(0, (moment - _EPOCH) // timedelta(milliseconds=1)))
