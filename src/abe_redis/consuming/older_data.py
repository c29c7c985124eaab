"""Notices that Redis came back with older data, and says so: else events vanish, or run again, in silence."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from abe_redis.streams.trail import Trail

_LOG = logging.getLogger(__name__)

_MOST_NAMED = 3


@dataclass(frozen=True, slots=True)
class _Gap:
    """The time of which Redis has lost what was written."""

    since: int | None
    """In milliseconds since the epoch; None if unknown."""
    until: int


class OlderData:
    """What a consumer remembers of the trails of its group's records."""

    def __init__(self, group: str) -> None:
        self._group = group
        self._seen: dict[str, Trail] = {}
        self._gaps: dict[str, _Gap] = {}

    @property
    def noticed(self) -> bool:
        """Whether there is something to say."""
        return bool(self._gaps)

    def look(self, trails: Mapping[str, Trail | None]) -> None:
        """Compare the trails of some streams with what was read before."""
        for stream, trail in trails.items():
            if trail is None:
                continue
            before = self._seen.get(stream)
            if before is not None and trail.lacks(before):
                self._gaps[stream] = _Gap(trail.kept(before), before.times[-1])
            self._seen[stream] = trail

    def say(self) -> None:
        """Log once what Redis has lost."""
        if not self._gaps:
            return
        gaps, self._gaps = self._gaps, {}
        known = [gap.since for gap in gaps.values() if gap.since is not None]
        since = f"after {_clock_time(min(known))} " if known else ""
        until = _clock_time(max(gap.until for gap in gaps.values()))
        _LOG.error(
            "Redis has older data of %s than before, as after a restart with an old file or a failover to a "
            "replica that lacked the latest writes. It has lost what group %r did %suntil at least %s. "
            "Events that were accepted in that time may be lost, and finished ones may run again.",
            _listed(sorted(gaps)),
            self._group,
            since,
            until,
        )


def _clock_time(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _listed(names: list[str]) -> str:
    rest = f" and {len(names) - _MOST_NAMED} more streams" if len(names) > _MOST_NAMED else ""
    return ", ".join(map(repr, names[:_MOST_NAMED])) + rest
