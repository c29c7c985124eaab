"""From publish to handler, at a rate that nobody finds hard, between two processes."""

from benchmarks.arena import Arena
from benchmarks.contestants import Contestant
from benchmarks.ledger import WrongError

WARM = 20
"""Events that are handled before anything is timed: then the consumer has found its way."""


def latency(
    arena: Arena, contestant: Contestant, *, count: int, rate: float, kilobytes: float, patience: float
) -> dict[str, float]:
    """Publish at a rate while a consumer waits; milliseconds until its handler has the event.

    Raises:
        WrongError: Some were lost, handled twice or never acknowledged.
    """
    work, publisher, consumer = (
        arena.work(contestant),
        arena.publisher(contestant),
        arena.consumer(contestant),
    )
    everything = WARM + 1 + count
    consumer.send("consume", **work, expect=everything, warm=WARM, patience=patience)
    publisher.ask("publish", **work, count=WARM - 1, at_once=1, size=kilobytes, first=0)
    if (handled := consumer.answer()["handled"]) < WARM:
        raise WrongError(f"It handled {handled:,} of the first {WARM} events.")
    publisher.ask("pace", **work, count=count, rate=rate, size=kilobytes, first=WARM)
    handled = consumer.answer()["handled"]
    try:
        if handled < everything:
            raise WrongError(f"It handled {handled:,} of {everything:,} events.")
        arena.drained(contestant, work["streams"], patience=patience)
    finally:
        answer = consumer.go_on()
    if (answer["handled"], answer["distinct"]) != (everything, everything):
        raise WrongError(f"It handled {answer['handled']:,} events instead of {everything:,}.")
    waits = sorted(wait / 1e6 for wait in answer["waits"])
    return {
        "p50": _quantile(waits, 0.50),
        "p95": _quantile(waits, 0.95),
        "p99": _quantile(waits, 0.99),
        "most": waits[-1],
        "events": len(waits),
    }


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, round(share * len(ordered)))]
