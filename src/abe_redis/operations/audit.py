"""Reads the audit: the changes of people and agents, as `recording` wrote them."""

import json
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from abe_redis.events.codec import is_deeper
from abe_redis.operations import positions
from abe_redis.operations.checks import check_range
from abe_redis.operations.recording import IN_BATCHES, MOST_LISTED
from abe_redis.operations.scope import Scope
from abe_redis.schemas import AuditResult, Change
from abe_redis.streams import ids, names, peek
from abe_redis.streams.audit import recorded_at

MOST = 1000

_LEVELS = 2
"""Kinds of fields in an audit entry: facts by name, some of them lists."""


_PAGE = 200


async def changes(
    scope: Scope,
    *,
    count: int,
    since: str | None = None,
    who: str | None = None,
    stream: str | None = None,
    is_shown: Callable[[Change], bool] = lambda _: True,
) -> AuditResult:
    """The last changes, the newest first.

    Args:
        scope: The caller's.
        count: How many at most.
        since: Only from this point on, as people write it.
        who: Only by those whose name contains this.
        stream: Only to this stream, and to the partitions of its topic.
        is_shown: Which of these the caller may see.

    Raises:
        RequestError: The count is out of range.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
    """
    check_range("count", count, 1, MOST)
    found = _Found()
    async with scope.redis("reading what was changed") as redis:
        first = "0-0" if since is None else await positions.since(redis, since)
        after, is_whole = None, True
        while is_whole:
            page = await peek.entries(redis, names.AUDIT, after=after, count=_PAGE, order="newest")
            is_whole = len(page) == _PAGE
            for entry in page:
                after = entry.id
                one = _change(entry)
                if ids.order(entry.id) < ids.order(first):  # what was recorded before it is older, too
                    return AuditResult(changes=found.changes)
                is_older = recorded_at(entry) < ids.order(first)[0]
                if is_older or (who or "") not in one.who or not _concerns(one, stream):
                    continue
                if not is_shown(one):
                    continue
                if found.joins(one):
                    continue
                if len(found.changes) == count:
                    return AuditResult(changes=found.changes)
                found.add(one)
    return AuditResult(changes=found.changes)


def _concerns(one: Change, stream: str | None) -> bool:
    """Whether a change was about a stream or about a partition of its topic; None is any."""
    return stream is None or any(stream in {name, names.topic_of(name)} for name in streams_of(one))


def streams_of(one: Change) -> set[str]:
    """The streams that a change was about; for dead letters, the streams where they came from."""
    return {names.home_of(name) for name in one.streams}


async def last(redis: Redis, count: int) -> list[Change]:
    """The last changes, the newest first."""
    found = _Found()
    for entry in await peek.entries(redis, names.AUDIT, after=None, count=count, order="newest"):
        one = _change(entry)
        if not found.joins(one):
            found.add(one)
    return found.changes


class _Found:
    """Changes, the newest first; the batches of one run are one change."""

    def __init__(self) -> None:
        self.changes = list[Change]()
        self._runs = dict[tuple[str, ...], Change]()

    def add(self, one: Change) -> None:
        """Add a change that `joins` did not take."""
        if run := _run(one):
            self._runs[run] = one
            one.facts.pop("run")
        self.changes.append(one)

    def joins(self, earlier: Change) -> bool:
        """Add an earlier batch to the change that has the later ones; whether there is one."""
        change = self._runs.get(_run(earlier))
        if change is None:
            return False
        listed, others, uncertain = list[object](), 0, 0
        for facts in (earlier.facts, change.facts):
            uncertain += facts["uncertain"] if isinstance(facts.get("uncertain"), int) else 0
            listed += facts["ids"] if isinstance(facts.get("ids"), list) else []
            others += facts["more ids"] if isinstance(facts.get("more ids"), int) else 0
        others += max(0, len(listed) - MOST_LISTED)
        change.facts |= {"ids": listed[:MOST_LISTED]} | ({"more ids": others} if others else {})
        change.facts |= {"uncertain": uncertain} if uncertain else {}
        return True


def _run(one: Change) -> tuple[str, ...]:
    """The run of which a change is a batch; empty if it stands for itself."""
    if one.what not in IN_BATCHES or not (run := one.facts.get("run")):
        return ()
    return one.who, one.origin, one.what, str(one.facts.get("stream")), str(run)


def _change(entry: peek.Entry) -> Change:
    return Change(
        at=ids.moment(f"{recorded_at(entry)}-0"),
        who=entry.fields.get(b"who", b"").decode(errors="replace"),
        origin=entry.fields.get(b"from", b"mcp").decode(errors="replace"),
        what=entry.fields.get(b"what", b"").decode(errors="replace"),
        facts=_facts(entry.fields.get(b"facts", b"")),
    )


def _facts(said: bytes) -> dict[str, Any]:
    """Parse a record, which anyone with access to Redis may have written."""
    try:
        facts = json.loads(said)
    except (ValueError, RecursionError):
        return {}
    return facts if isinstance(facts, dict) and not is_deeper(facts, _LEVELS) else {}
