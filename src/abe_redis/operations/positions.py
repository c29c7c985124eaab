"""Positions in a stream: `beginning`, `now`, an entry id, a time, a time ago."""

import re
from datetime import UTC, datetime

from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError
from abe_redis.operations.scope import check_id
from abe_redis.streams import ids, manage, peek

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def seconds(duration: str) -> float:
    """A duration such as `90s`, `15m`, `2h`, `30d` or `4w`, in seconds.

    Raises:
        InvalidArgumentError: It is not a duration.
    """
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhdw])", duration.strip(), re.ASCII)
    if match is None:
        raise InvalidArgumentError(f"{duration!r} is no duration; write it as 90s, 15m, 2h, 30d or 4w.")
    return float(match[1]) * _UNITS[match[2]]


async def position(redis: Redis, word: str) -> str:
    """The position before a point: a group there gets the events from that point on."""
    if word == "beginning":
        return manage.BEGINNING
    if word == "now":
        return manage.NOW
    return ids.before(await _id(redis, word))


async def first(redis: Redis, word: str) -> str:
    """The start of a range, for XRANGE."""
    return "-" if word == "beginning" else await _id(redis, "0s" if word == "now" else word)


async def since(redis: Redis, word: str) -> str:
    """The first id that an entry published at a point or later can have."""
    entry_id = "0-0" if word == "beginning" else await _id(redis, "0s" if word == "now" else word)
    return (
        entry_id if "-" in entry_id else f"{entry_id}-0"
    )  # a bound of milliseconds alone includes all of them


async def last(redis: Redis, word: str) -> str:
    """The end of a range, for XRANGE; it includes the point."""
    if word == "beginning":
        return manage.BEGINNING
    return "+" if word == "now" else await _id(redis, word)


async def _id(redis: Redis, word: str) -> str:
    """An entry id, complete or only its milliseconds; XRANGE accepts both."""
    if re.fullmatch(r"\d{10,19}(-\d{1,19})?", word, re.ASCII):
        return check_id("The position", word) if "-" in word else word
    if re.fullmatch(r"[\d.]+[smhdw]", word, re.ASCII):
        return str(max(0, round((await peek.now(redis) - seconds(word)) * 1000)))
    try:
        moment = datetime.fromisoformat(word)
    except ValueError:
        raise InvalidArgumentError(
            f"{word!r} is no point in a stream; write beginning, now, an entry id such as 1732000000000-0, a "
            "time such as 2026-01-31T09:00 (UTC unless it says otherwise), or a time ago such as 2h."
        ) from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return str(max(0, round(moment.timestamp() * 1000)))
