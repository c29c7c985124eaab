"""The list of groups, out of the state of their streams."""

from collections.abc import Iterable

from abe_redis.schemas import GroupOfStream, GroupsResult, StreamStats


def listed(streams: Iterable[StreamStats]) -> GroupsResult:
    """The groups of some streams."""
    return GroupsResult(
        groups=[
            GroupOfStream(
                stream=stats.stream,
                alive=sum(one.alive and one.kind != "agent" for one in group.consumers),
                **dict(group),
            )
            for stats in streams
            for group in stats.groups
        ]
    )
