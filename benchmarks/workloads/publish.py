"""Publish: one by one, many tasks at once, or in batches."""

from typing import Any

from benchmarks.arena import Arena
from benchmarks.contestants import Contestant
from benchmarks.ledger import WrongError, cpu_seconds

BATCH = 100


def publish(
    arena: Arena,
    contestant: Contestant,
    *,
    count: int,
    at_once: int,
    kilobytes: float,
    streams: int = 1,
    groups: int = 1,
    first: int = 0,
) -> dict[str, float]:
    """Publish events by so many tasks, each awaiting its own, again and again.

    Raises:
        WrongError: Not all of them are in the server.
    """
    work = arena.work(contestant, streams=streams, groups=groups)
    return _checked(
        arena, contestant, "publish", work, count=count, at_once=at_once, size=kilobytes, first=first
    )


def publish_many(arena: Arena, contestant: Contestant, *, count: int, kilobytes: float) -> dict[str, float]:
    """Publish events in batches, by one task; no figures for one that has no such call.

    Raises:
        WrongError: Not all of them are in the server.
    """
    work = arena.work(contestant)
    return _checked(arena, contestant, "publish_many", work, count=count, batch=BATCH, size=kilobytes)


def _checked(
    arena: Arena, contestant: Contestant, what: str, work: dict[str, Any], **parameters: object
) -> dict[str, float]:
    process = arena.publisher(contestant)
    there, cpu = contestant.place.published(arena.client, work["streams"]), cpu_seconds(arena.client)
    answer = process.ask(what, **work, **parameters)
    if "unsupported" in answer:
        return {}
    server_cpu = cpu_seconds(arena.client) - cpu
    arrived = contestant.place.published(arena.client, work["streams"]) - there
    if arrived != answer["published"]:
        raise WrongError(f"It published {answer['published']:,} events, but {arrived:,} are in the server.")
    return {
        "rate": answer["timed"] / answer["seconds"],
        "seconds": answer["seconds"],
        "events": answer["timed"],
        "cpu": answer["cpu"] / answer["timed"] * 10_000,
        "server_cpu": server_cpu / answer["published"] * 10_000,
        "memory": answer["memory"],
    }
