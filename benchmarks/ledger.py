"""What the server says of a contestant's events: how many were published, how many are not done."""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import redis

from benchmarks.payload import Envelopes

_SEED = """
for number = tonumber(ARGV[3]), tonumber(ARGV[4]) do
  redis.call('XADD', KEYS[1], '*', 'data', ARGV[1] .. string.format('%010d', number) .. ARGV[2])
end
"""
_ADDED = """
local added = 0
for _, key in ipairs(KEYS) do
  if redis.call('EXISTS', key) == 1 then
    local info = redis.call('XINFO', 'STREAM', key)
    for at = 1, #info, 2 do
      if info[at] == 'entries-added' then added = added + info[at + 1] end
    end
  end
end
return added
"""
_SEED_CHUNK = 10_000


class WrongError(Exception):
    """A contestant did not do the work that was timed; the message is a sentence about it."""


class Place(Protocol):
    """Where a contestant keeps its events."""

    def keys(self, count: int = 1) -> list[str]:
        """What it publishes to, when there are so many."""

    def prepare(self, client: redis.Redis, keys: list[str], groups: list[str]) -> None:
        """Make the groups: that everybody's consumers were there before is the usual case."""

    def published(self, client: redis.Redis, keys: list[str]) -> int:
        """How many events were ever added, or are there; right before anyone consumed."""

    def unfinished(self, client: redis.Redis, keys: list[str]) -> int:
        """How many are not delivered, or not acknowledged."""


@dataclass(frozen=True, slots=True)
class Streams:
    """In streams, read by groups."""

    name: str
    names: str = ""
    """The pattern of the names when there are several."""
    deletes: bool = False
    """Whether what is done leaves the stream."""

    def keys(self, count: int = 1) -> list[str]:
        """One stream, or several."""
        return [self.name] if count == 1 else [self.names.format(number) for number in range(count)]

    def prepare(self, client: redis.Redis, keys: list[str], groups: list[str]) -> None:
        """Make the groups, from the beginning of each stream."""
        if self.deletes:
            return  # its workers make their own
        for key in keys:
            for group in groups:
                with suppress(redis.ResponseError):  # it exists
                    client.xgroup_create(key, group, "0", mkstream=True)

    def published(self, client: redis.Redis, keys: list[str]) -> int:
        """What was ever added: finished history may be trimmed."""
        return _number(client.eval(_ADDED, len(keys), *keys))

    def unfinished(self, client: redis.Redis, keys: list[str]) -> int:
        """What no group has acknowledged, counted per group."""
        if self.deletes:
            return sum(_number(client.xlen(key)) for key in keys)
        return sum(self._unacknowledged(client, key) for key in keys)

    @staticmethod
    def _unacknowledged(client: redis.Redis, key: str) -> int:
        groups: Any = client.xinfo_groups(key)
        return sum(group["pending"] + (group["lag"] or 0) for group in groups)


@dataclass(frozen=True, slots=True)
class Jobs:
    """In a sorted set of job ids, which a job leaves when it is done."""

    name: str

    def keys(self, count: int = 1) -> list[str]:
        """The sorted set; it has no others."""
        return [self.name] * count

    def prepare(self, client: redis.Redis, keys: list[str], groups: list[str]) -> None:
        """There are no groups."""

    def published(self, client: redis.Redis, keys: list[str]) -> int:
        """The jobs."""
        return sum(_number(client.zcard(key)) for key in keys)

    def unfinished(self, client: redis.Redis, keys: list[str]) -> int:
        """The jobs that are still there."""
        return self.published(client, keys)


def seed(client: redis.Redis, stream: str, *, count: int, kilobytes: float) -> None:
    """Write entries as abe-redis and the redis-py contestants do, fast; numbered from zero."""
    before, after = Envelopes(kilobytes).halves()
    for first in range(0, count, _SEED_CHUNK):
        last = min(first + _SEED_CHUNK, count) - 1
        client.eval(_SEED, 1, stream, before, after, first, last)


def cpu_seconds(client: redis.Redis) -> float:
    """What the server has used of its CPU since it started."""
    info: Any = client.info("cpu")
    return float(info["used_cpu_user"]) + float(info["used_cpu_sys"])


def _number(reply: object) -> int:
    return reply if isinstance(reply, int) else 0
