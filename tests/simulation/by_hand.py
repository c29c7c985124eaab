"""Schedules for what few seeds come upon."""

from tests.simulation.schedule import Schedule, Step

BY_HAND = {
    # One leases for long, and renews in times in which the leases of the others would be over.
    "mixed leases": Schedule(
        "mixed leases",
        (
            Step(0.0, "start worker", "w0", 8.0, group="g"),
            Step(0.0, "publish", "slack:a", events=(0, 1)),
            *(Step(2.0 + n / 2, "start worker", f"w{n}", 1.0, group="g") for n in (1, 2, 3)),
        ),
        durations=((0, 15.0), (1, 15.0)),
    ),
    # Sent in time, it arrives when another has finished what it gives back.
    "late command": Schedule(
        "late command",
        (
            Step(0.0, "start worker", "w0", 1.0, group="g"),
            Step(0.0, "publish", "slack:a", events=(0,)),
            Step(1.0, "hold commands", "w0", 2.5),
            Step(1.0, "start worker", "w1", 1.0, group="g"),
            Step(3.6, "publish", "slack:a", events=(1,)),  # until then nothing heals
        ),
        durations=((0, 0.4),),
        failing=((0, 1),),
    ),
}
"""By name."""
