"""The places of events that are settled together: a stream, a group and a consumer."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from abe_redis.errors import RequestError
from abe_redis.operations.agent_leases import Kept
from abe_redis.operations.checks import check_id
from abe_redis.runtime import plurals
from abe_redis.schemas import MAX_COUNT, AckResult, ReleaseResult


@dataclass(frozen=True, slots=True)
class Place:
    """The place of events that are settled together."""

    stream: str
    group: str
    consumer: str
    named: str | None
    """The consumer for the audit, unless it is the caller's own name."""
    ids: list[str]


def places(
    held: Iterable[Kept],
    own: str,
    *,
    stream: str | None,
    group: str | None,
    ids: Sequence[str] | None,
    of_one_call: bool,
) -> list[Place]:
    """The places of the held events that match all given fields, with at most 100 events each.

    Args:
        held: The events that the caller holds.
        own: The caller's own consumer name.
        stream: Only in this one.
        group: Only in this one.
        ids: Only these.
        of_one_call: Refuse, without ids, events that several calls have leased: the answer of one may never
            have reached whoever settles them.

    Raises:
        RequestError: No held event matches; or their caller may not have seen some of them.
    """
    wanted = None if ids is None else {check_id("An id", one) for one in ids}
    found: dict[tuple[str, str, str], list[str]] = {}
    calls = set[int]()
    for one in held:
        if (
            stream in {None, one.stream}
            and group in {None, one.group}
            and (wanted is None or one.id in wanted)
        ):
            found.setdefault((one.stream, one.group, one.consumer), []).append(one.id)
            calls.add(one.call)
    if of_one_call and ids is None and len(calls) > 1:
        every = [entry_id for those in found.values() for entry_id in those]
        raise RequestError(
            f"You hold {len(every)} events of {len(calls)} lease_events calls, and the answer of one may not "
            f"have reached you, so nothing was done: {plurals.named(every)}. "
            "To see them: read_stream(pending=true). "
            f'Then give the ids of those you mean, as in ids=["{every[0]}"].'
        )
    if not found:
        what = "none of these" if ids is not None else "nothing"
        where = "".join(
            f" in the {word} {name!r}"
            for word, name in (("stream", stream), ("group", group))
            if name is not None
        )
        raise RequestError(
            f"You hold {what}{where}, so nothing was changed. To settle what you hold elsewhere, or what you "
            "leased before a restart, give stream, group and ids."
        )
    missing = (wanted or set()).difference(*found.values())
    next(iter(found.values())).extend(sorted(missing))  # its error says what happened to them
    return [
        Place(name, of, consumer, None if consumer == own else consumer, ids_there[at : at + MAX_COUNT])
        for (name, of, consumer), ids_there in found.items()
        for at in range(0, len(ids_there), MAX_COUNT)
    ]


def joined[Result: (AckResult, ReleaseResult)](results: Sequence[Result]) -> Result:
    """All results as one: those of the first place, with the others beside them."""
    by_place: dict[tuple[str, str], Result] = {}
    for result in results:
        known = by_place.setdefault((result.stream, result.group), result)
        if known is not result:
            for name, value in result:
                if isinstance(value, list):
                    joined_list: list[Any] = getattr(known, name)
                    joined_list.extend(value)
    first, *others = by_place.values()
    also: list[Any] = first.also
    also.extend(others)
    return first
