"""The list of groups, out of the state of their streams."""

from collections.abc import Iterable

from abe_redis.schemas import GroupOfStream, GroupsResult, StreamStats
from abe_redis.schemas.stats import is_agent


def listed(streams: Iterable[StreamStats]) -> GroupsResult:
    """The groups of some streams."""
    return GroupsResult(
        groups=[
            GroupOfStream(
                stream=stats.stream,
                alive=sum(one.alive and not is_agent(one.name) for one in group.consumers),
                **dict(group),
            )
            for stats in streams
            for group in stats.groups
        ]
    )
