"""Groups that nobody has used for long: trimming waits for them no more, or soon will not."""

from abe_redis.runtime.plurals import duration
from abe_redis.schemas import GroupStats
from abe_redis.settings import Settings

_DAY = 86_400
_LOOKS_SECONDS = 3600
"""For how long a group must look unused before trimming stops waiting for it: see `trim.lua`."""


def about_disuse(group: GroupStats, settings: Settings) -> str | None:
    """The sentence about a group that no longer holds back trimming, or soon will not; None if it does."""
    days, unused = settings.redis_stream_group_idle_days, group.unused_seconds
    if not days or unused is None or group.paused:
        return None
    left = days - unused / _DAY
    since = f"Nobody has used group {group.name!r} for {unused / _DAY:.1f} days"
    if left <= 0:
        unseen = min(days * _DAY, _LOOKS_SECONDS) - group.seen_unused_seconds
        if unseen <= 0:
            return f"{since}, so trimming does not wait for it any more."
        return (
            f"{since}: when trimming has seen that for another {duration(unseen)}, it will not wait for it "
            "any more."
        )
    if left <= min(1, days / 2):
        return f"{since}: in {left:.1f} days trimming will not wait for it any more."
    return None
