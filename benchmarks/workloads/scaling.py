"""How the rates change with the number of streams and groups, the size of events, and what waits already."""

from collections.abc import Iterator
from functools import partial

from benchmarks.arena import Arena
from benchmarks.contestants import Contestant
from benchmarks.course import Course, Step
from benchmarks.ledger import seed
from benchmarks.plan import Plan
from benchmarks.workloads.consume import consume
from benchmarks.workloads.publish import publish

AT_ONCE = 64
SMALL_KILOBYTES = 0.2
MOST_KILOBYTES = 100_000.0
"""Of events of one size together."""

SCALES = {
    "streams": "number of streams",
    "groups": "number of groups",
    "sizes": "KB per event",
    "backlogs": "events that wait already",
}


def scaling(plan: Plan) -> Iterator[Course]:
    """Every scale, point by point."""
    for number in plan.streams:
        yield _course(plan, number, _streams(plan, number))
    for number in plan.groups:
        yield _course(plan, number, _groups(plan, number))
    for kilobytes in plan.sizes:
        yield _course(plan, kilobytes, _sizes(plan, kilobytes))
    for waiting in plan.backlogs:
        yield _course(plan, waiting, _backlogs(plan, waiting))


def _course(plan: Plan, at: float, steps: tuple[Step, ...]) -> Course:
    return Course(steps, rounds=plan.scale_rounds, at=float(at))


def _streams(plan: Plan, number: int) -> tuple[Step, ...]:
    """The same number of events, in so many streams."""
    count, kilobytes = plan.scale_events, plan.kilobytes
    return (
        Step(
            "streams-publish",
            partial(publish, count=count, at_once=AT_ONCE, kilobytes=kilobytes, streams=number),
        ),
        Step(
            "streams-consume",
            partial(consume, expect=count + AT_ONCE, patience=plan.patience, streams=number),
        ),
    )


def _groups(plan: Plan, number: int) -> tuple[Step, ...]:
    """The same number of deliveries, to so many groups; then publish to a stream that has them."""
    count, kilobytes = 4 * plan.scale_events // number, plan.kilobytes
    return (
        Step("", partial(publish, count=count, at_once=AT_ONCE, kilobytes=kilobytes, groups=number)),
        Step(
            "groups-consume",
            partial(consume, expect=count + AT_ONCE, patience=plan.patience, groups=number),
        ),
        Step(
            "groups-publish",
            partial(
                publish, count=plan.scale_events, at_once=AT_ONCE, kilobytes=kilobytes, first=count + AT_ONCE
            ),
        ),
    )


def _sizes(plan: Plan, kilobytes: float) -> tuple[Step, ...]:
    """Events of one size, fewer of them when they are large."""
    count = min(plan.scale_events, int(MOST_KILOBYTES / kilobytes))
    return (
        Step("sizes-publish", partial(publish, count=count, at_once=AT_ONCE, kilobytes=kilobytes)),
        Step("sizes-consume", partial(consume, expect=count + AT_ONCE, patience=plan.patience)),
    )


def _backlogs(plan: Plan, waiting: int) -> tuple[Step, ...]:
    """Publish behind so many events, and consume the first of them."""
    count = plan.scale_events
    # The largest backlog is the most that a stream takes: publishing reaches it.
    behind = waiting - count - AT_ONCE if waiting > 10 * count else waiting
    return (
        Step("", partial(_wait_in_line, count=behind)),
        Step(
            "backlogs-publish",
            partial(publish, count=count, at_once=AT_ONCE, kilobytes=SMALL_KILOBYTES, first=behind),
        ),
        Step("backlogs-consume", partial(consume, expect=count, patience=plan.patience, drain=False)),
    )


def _wait_in_line(arena: Arena, contestant: Contestant, *, count: int) -> dict[str, float]:
    (stream,) = arena.work(contestant)["streams"]
    seed(arena.client, stream, count=count, kilobytes=SMALL_KILOBYTES)
    return {}
