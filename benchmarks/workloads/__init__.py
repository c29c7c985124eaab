"""What is measured. Each workload checks with the server that the work was done before its figures count."""

from collections.abc import Collection, Iterator
from functools import partial

from benchmarks.arena import Arena
from benchmarks.contestants import Contestant
from benchmarks.course import Course, Step
from benchmarks.plan import Plan
from benchmarks.workloads.consume import consume
from benchmarks.workloads.latency import latency
from benchmarks.workloads.publish import publish, publish_many
from benchmarks.workloads.scaling import scaling

WORKLOADS = ("publish", "consume", "latency", "limit", "scaling")
"""What can be asked for; the limit is the server's own and nobody's turn."""

MOST_AT_ONCE = 256
WARM = 64


def warm_up(arena: Arena, contestant: Contestant, plan: Plan) -> None:
    """A little of the work, so that no measured round is the first of its process.

    Raises:
        WrongError: It does not even do that.
    """
    publish(arena, contestant, count=WARM, at_once=WARM, kilobytes=plan.kilobytes)
    consume(arena, contestant, expect=2 * WARM, patience=plan.patience)


def courses(plan: Plan, wanted: Collection[str]) -> Iterator[Course]:
    """Every turn of a run, in order."""
    size = plan.kilobytes
    if "publish" in wanted:
        for workload, count, at_once in (("publish-1", plan.one_by_one, 1), ("publish-64", plan.at_once, 64)):
            step = Step(workload, partial(publish, count=count, at_once=at_once, kilobytes=size))
            yield Course((step,), plan.rounds)
        step = Step("publish-batch", partial(publish_many, count=plan.batched, kilobytes=size))
        yield Course((step,), plan.rounds)
    if "publish" in wanted or "consume" in wanted:
        first = Step("publish-256", partial(_fill, plan=plan))
        then = Step("consume", partial(_empty, plan=plan))
        yield Course((first, then) if "consume" in wanted else (first,), plan.rounds)
    if "latency" in wanted:
        step = Step(
            "latency",
            partial(latency, count=plan.paced, rate=plan.rate, kilobytes=size, patience=plan.patience),
        )
        yield Course((step,), plan.latency_rounds)
    if "scaling" in wanted:
        yield from scaling(plan)


def _fill(arena: Arena, contestant: Contestant, *, plan: Plan) -> dict[str, float]:
    return publish(
        arena, contestant, count=_count(contestant, plan), at_once=MOST_AT_ONCE, kilobytes=plan.kilobytes
    )


def _empty(arena: Arena, contestant: Contestant, *, plan: Plan) -> dict[str, float]:
    """Consume just what `_fill` published."""
    return consume(arena, contestant, expect=_count(contestant, plan) + MOST_AT_ONCE, patience=plan.patience)


def _count(contestant: Contestant, plan: Plan) -> int:
    return int(plan.consume * contestant.share)
