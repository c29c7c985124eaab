"""Writes to the audit, the stream of changes: its last ten thousand entries are kept."""

import json
from contextlib import suppress
from typing import Any, Literal

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.streams import ids, names, peek
from abe_redis.streams.publish import append

KEPT = 10_000

_LEAST_STEP_MS = 1000
"""Least difference between the id of a record and its time that a step of the clock has made."""

type Source = Literal["mcp", "cli", "consumer"]
"""Where a change came from: the MCP server, the command line, or a consumer that repairs something."""


_LOOKED_AT = 100
"""Newest records among which one is looked for whose answer was lost."""


async def record(
    redis: Redis, who: str, what: str, facts: dict[str, Any], source: Source, *, once: str = ""
) -> None:
    """Record a change.

    Args:
        redis: The client.
        who: Who made it.
        what: What was done.
        facts: More about it.
        source: Where it came from.
        once: A random word, by which `is_recorded` finds it.

    Raises:
        redis.RedisError: The server refused it or could not be reached.
    """
    fields = {"who": who, "from": source, "what": what, "facts": json.dumps(facts, ensure_ascii=False)}
    fields |= {"once": once} if once else {}
    with suppress(ResponseError):  # who may not ask leaves it to the id
        seconds, microseconds = await redis.time()
        fields["at"] = f"{seconds * 1000 + microseconds // 1000}"
    await append(redis, names.AUDIT, fields, kept=KEPT)


def recorded_at(entry: peek.Entry) -> int:
    """When a record was written, in ms.

    Its id says so, unless the server's clock was set back: ids cannot go back with it.
    """
    of_id, of_record = ids.order(entry.id)[0], ids.number(entry.fields.get(b"at"))
    return of_id if of_record is None or of_record > of_id - _LEAST_STEP_MS else of_record


async def is_recorded(redis: Redis, once: str) -> bool:
    """Whether the audit has a record with that word; False, if this user may not look."""
    with suppress(ResponseError):
        newest = await peek.entries(redis, names.AUDIT, after=None, count=_LOOKED_AT, order="newest")
        return any(entry.fields.get(b"once") == once.encode() for entry in newest)
    return False
