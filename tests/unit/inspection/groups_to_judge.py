"""Groups and consumers as numbers, and the verdict on them."""

from typing import Any

from abe_redis import Settings
from abe_redis.inspection.health import judge
from abe_redis.schemas import ConsumerStats, GroupStats, StreamStats

DAY = 86_400


def group(name: str = "g", *, alive: bool = True, **facts: Any) -> GroupStats:
    consumers = [ConsumerStats(name="c", pending=0, idle_seconds=1, alive=alive)]
    given: dict[str, Any] = {
        "pending": 0, "lag": 0, "last_delivered_id": "1-0", "paused": False, "lost": 0,
        "consumers": consumers,
    }  # fmt: skip
    return GroupStats(name=name, **given | facts)


def judged(*groups: GroupStats, length: int = 10, dead_letters: int = 0, **settings: Any) -> tuple[str, str]:
    stats = StreamStats(
        stream="s", length=length, dead_letters=dead_letters, groups=list(groups), health="ok", advice=""
    )
    return judge(stats, Settings(**settings))


def consumers(**alive: bool) -> dict[str, Any]:
    return {
        "consumers": [
            ConsumerStats(name=name.replace("_", "-"), pending=0, idle_seconds=1, alive=is_alive)
            for name, is_alive in alive.items()
        ]
    }


BUSY = {"lag": 1, "oldest_undelivered_seconds": 5}
START = "start a worker (`abe-redis worker MODULE:HANDLER --group g`)."
REMOVE = (
    f"{START[:-1]}; or, if the group is a mistake, `abe-redis group remove s g` says what removing it "
    "gives up, and how."
)
UNUSED: dict[str, Any] = {"last_delivered_id": "0-0", "consumers": []}
"""A group to which nothing was ever delivered, and which has no consumer."""
