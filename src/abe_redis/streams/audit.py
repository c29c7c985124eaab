"""What agents have changed: a stream of its own, the last ten thousand changes."""

import json
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import is_deeper
from abe_redis.schemas import Change
from abe_redis.streams import ids, names

KEPT = 10_000

_LEVELS = 2
"""Of what is written down: facts by name, some of them lists."""


async def record(redis: Redis, who: str, what: str, facts: dict[str, Any]) -> None:
    """Write a change down.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    fields = {"who": who, "what": what, "facts": json.dumps(facts, ensure_ascii=False)}
    await redis.xadd(names.AUDIT, dict[Any, Any](fields), maxlen=KEPT, approximate=True)


async def last(redis: Redis, count: int) -> list[Change]:
    """The last changes, the newest first.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    rows: Any = await redis.xrevrange(names.AUDIT, count=count)
    return [
        Change(
            at=ids.moment(entry_id),
            who=fields.get(b"who", b"").decode(errors="replace"),
            what=fields.get(b"what", b"").decode(errors="replace"),
            facts=_facts(fields.get(b"facts", b"")),
        )
        for entry_id, fields in rows
    ]


def _facts(said: bytes) -> dict[str, Any]:
    """What was written down; whoever may write to Redis may have written anything."""
    try:
        facts = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and not is_deeper(facts, _LEVELS) else {}
