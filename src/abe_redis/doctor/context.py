"""The input of a check, and its findings."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, Field
from redis.asyncio import Redis

from abe_redis.inspection.stats import stream_stats
from abe_redis.schemas import StreamStats
from abe_redis.settings import Settings
from abe_redis.streams.find_streams import existing
from abe_redis.streams.patterns import Patterns

type Severity = Literal["ok", "warning", "problem"]


class Finding(BaseModel):
    """The result of examining one thing."""

    check: str = Field(default="", description="What was looked at, in a word, such as persistence.")
    severity: Severity = Field(
        description="ok: as it should be. warning: may do harm one day. problem: does harm, or will soon."
    )
    found: str = Field(description="What was found.")
    advice: str = Field(default="", description="What to do; empty when there is nothing to do.")
    command: str = Field(
        default="", description="The command that does it: of abe-redis or sqlite3, or for redis-cli."
    )


def ok(found: str, advice: str = "", command: str = "") -> Finding:
    """A thing that is right."""
    return Finding(severity="ok", found=found, advice=advice, command=command)


def warning(found: str, advice: str = "", command: str = "") -> Finding:
    """A thing that may do harm one day, or that could not be examined."""
    return Finding(severity="warning", found=found, advice=advice, command=command)


def problem(found: str, advice: str = "", command: str = "") -> Finding:
    """A thing that does harm, or soon will."""
    return Finding(severity="problem", found=found, advice=advice, command=command)


@dataclass(slots=True)
class Context:
    """A server under examination."""

    settings: Settings
    redis: Redis
    is_nearly_full: bool = False
    """Whether one of the servers has little memory left."""
    refuses_writes: bool = False
    """Whether the server takes no writes at present, so that no worker can show that it lives; a server
    without memory takes theirs."""
    max_bytes: int = 0
    """The maxmemory of the server, or of the smallest one; 0 when it has none, or it is not known."""
    patterns: Patterns = field(init=False)
    _info: dict[str, Any] | None = field(init=False, default=None)
    _names: list[str] | None = field(init=False, default=None)
    _streams: dict[str, StreamStats | None] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.patterns = Patterns(self.settings.patterns, partitions=self.settings.redis_stream_partitions)

    async def info(self) -> dict[str, Any]:
        """The server's INFO, fetched once.

        Raises:
            redis.NoPermissionError: This user may not send INFO.
        """
        if self._info is None:
            self._info = await self.redis.info()
        return self._info

    async def streams(self) -> AsyncIterator[StreamStats]:
        """The state of each stream that the patterns name, read once for all checks.

        Raises:
            redis.RedisError: This user may not look at one, or the server did not answer; those before it
                have come.
        """
        if self._names is None:
            self._names = await existing(self.redis, self.patterns, here=True)
        for name in self._names:
            if name not in self._streams:
                self._streams[name] = await stream_stats(self.redis, name, self.settings)
            if (stats := self._streams[name]) is not None:
                yield stats


_FULL, _NEARLY_FULL = 0.95, 0.8
"""Fractions of a limit."""


def fullness(part: float, found: str, advice: str) -> Finding:
    """The finding about a limit of which this part is used."""
    if part < _NEARLY_FULL:
        return ok(found)
    return (warning if part < _FULL else problem)(found, advice)
