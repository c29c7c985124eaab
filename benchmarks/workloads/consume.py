"""Consume what is in the server already, from the consumer's start to the last acknowledgement."""

from collections.abc import Sequence
from itertools import pairwise
from statistics import median

from benchmarks.arena import Arena
from benchmarks.contestants import Contestant
from benchmarks.ledger import WrongError, cpu_seconds


def consume(
    arena: Arena,
    contestant: Contestant,
    *,
    expect: int,
    patience: float,
    streams: int = 1,
    groups: int = 1,
    drain: bool = True,
) -> dict[str, float]:
    """Consume so many events, each group all of them; with `drain`, they are all there are.

    Raises:
        WrongError: Some were lost, handled twice or never acknowledged.
    """
    work, process = arena.work(contestant, streams=streams, groups=groups), arena.consumer(contestant)
    cpu = cpu_seconds(arena.client)
    handled = process.ask("consume", **work, expect=expect * groups, warm=0, patience=patience)
    try:
        if handled["handled"] < expect * groups:
            raise WrongError(f"It handled {handled['handled']:,} of {expect * groups:,} events.")
        done = arena.drained(contestant, work["streams"], patience=patience) if drain else handled["last_at"]
    finally:
        answer = process.go_on()
    server_cpu = cpu_seconds(arena.client) - cpu
    if drain and (answer["distinct"] != expect or answer["handled"] != expect * groups):
        raise WrongError(
            f"It handled {answer['handled']:,} events, {answer['distinct']:,} of them different, and should "
            f"have handled {expect:,} in each of {groups} groups."
        )
    seconds = done - handled["began"]
    return {
        "rate": expect * groups / seconds,
        "seconds": seconds,
        "events": expect * groups,
        "first_after": answer["first_after"],
        "cpu": answer["cpu"] / answer["handled"] * 10_000,
        "server_cpu": server_cpu / answer["handled"] * 10_000,
        "memory": answer["memory"],
    } | (
        {"longest_wait": longest_wait([n % streams for n in answer["order"]], streams)} if streams > 1 else {}
    )


def longest_wait(served: Sequence[int], streams: int) -> float:
    """The longest that a stream waited while all were busy, in rounds that serve each once; 1 is fair.

    Args:
        served: The streams, numbered, in the order in which their events were handled.
        streams: How many there are; all had equally many events.
    """
    busy = served[: len(served) // 2]
    changes = [0, *(place for place, (one, two) in enumerate(pairwise(busy), 1) if one != two)]
    run = median(two - one for one, two in pairwise([*changes, len(busy)]))
    waits, last_end = [], dict.fromkeys(range(streams), 0)
    for place, stream in enumerate(busy):
        waits.append(place - last_end[stream])
        last_end[stream] = place + 1
    waits += [len(busy) - end for end in last_end.values()]
    # In turn, a stream waits for the others, each of which is served `run` events.
    return max(waits) / (run * (streams - 1))
