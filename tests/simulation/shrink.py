"""Making a schedule that fails as short as it can be, so that one can read it."""

from collections.abc import Iterator
from dataclasses import replace

from tests.simulation.play import Outcome, play
from tests.simulation.schedule import Schedule, Step

_MOST_TRIES = 400

_COMMON = ("lost", "out of order", "stuck", "again though done")
"""Rules that are broken by many causes; the others say more, and are looked for first."""


def shrink(outcome: Outcome, *, tries: int = _MOST_TRIES) -> Outcome:
    """Leave out whatever the failure does not need.

    Returns:
        What came of the shortest schedule that still breaks the rule.
    """
    broken = {violation.rule for violation in outcome.violations}
    rules = broken - {*_COMMON} or broken

    def still_fails(schedule: Schedule) -> Outcome | None:
        nonlocal tries
        tries -= 1
        found = play(schedule)
        return found if rules & {violation.rule for violation in found.violations} else None

    shorter = True
    while shorter and tries > 0:
        shorter = False
        for candidate in _simpler(outcome.schedule):
            if tries <= 0:
                break
            if (found := still_fails(candidate)) is not None:
                outcome, shorter = found, True
                break
    return outcome


def _simpler(schedule: Schedule) -> Iterator[Schedule]:
    steps = schedule.steps
    size = len(steps) // 2
    while size:
        for at in range(0, len(steps), size):
            left = steps[:at] + steps[at + size :]
            if any(step.what == "start worker" for step in left):
                yield schedule.with_steps(left)
        size //= 2
    if len(schedule.groups) > 1:
        for gone in schedule.groups:
            yield replace(
                schedule,
                groups=tuple(group for group in schedule.groups if group != gone),
                steps=tuple(step for step in steps if step.group != gone[0]),
            )
    yield from _with_fewer_events(schedule)
    for slow in schedule.durations:
        yield replace(schedule, durations=tuple(one for one in schedule.durations if one != slow))
    for failing in schedule.failing:
        yield replace(schedule, failing=tuple(one for one in schedule.failing if one != failing))
    if schedule.concurrency > 1:
        yield replace(schedule, concurrency=1)


def _with_fewer_events(schedule: Schedule) -> Iterator[Schedule]:
    for at, step in enumerate(schedule.steps):
        if len(step.events) > 1:
            for event in step.events:
                rest = tuple(other for other in step.events if other != event)
                yield schedule.with_steps(_replaced(schedule.steps, at, step._replace(events=rest)))


def _replaced(steps: tuple[Step, ...], at: int, step: Step) -> tuple[Step, ...]:
    return (*steps[:at], step, *steps[at + 1 :])
