"""Who is measured, in which version, and what each does less or more than abe-redis."""

from dataclasses import dataclass

from benchmarks.ledger import Jobs, Place, Streams

OURS = "ours"
"""What the others are compared with."""
LIMIT = "limit"
"""The server's own benchmark program, which is no contestant and has a row all the same."""

ALL_WORK = frozenset({"publish", "consume", "latency"})
SCALES = frozenset({"streams", "groups", "sizes", "backlogs"})


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of every table."""

    name: str
    """Its program: `peers/NAME.py`."""
    title: str
    crash: str
    """What becomes of the events that a consumer held when it died, with these settings."""
    dedup: str
    """For how long an event that is published again is not added again."""
    note: str
    """What else it does less or more, in one line."""
    place: Place
    """Where its events are in the server."""
    requirements: tuple[str, ...] = ()
    """What its environment has; the project's own environment when there are none."""
    kinds: frozenset[str] = ALL_WORK
    """Of workload that it takes part in."""
    share: float = 1.0
    """Of the events to consume, for one that would take minutes."""
    program: tuple[str, ...] = ()
    """What its interpreter is given instead of `-m benchmarks.peers.NAME`."""


_SLACK = Streams("slack_events", "slack:{}")

CONTESTANTS = (
    Contestant(
        OURS,
        "abe-redis",
        crash="taken over, 30 s",
        dedup="1 day",
        note="everything on, as it comes: ack after the handler, leases renewed, a failed event comes back, "
        "burial after 5 deliveries",
        place=_SLACK,
        kinds=ALL_WORK | SCALES,
    ),
    Contestant(
        "ours_worker",
        "abe-redis EventWorker",
        crash="taken over, 30 s",
        dedup="1 day",
        note="the same with 64 handlers at once, and growing delays before a failed event comes back",
        place=_SLACK,
        kinds=frozenset({"consume", "latency"}),
    ),
    Contestant(
        "ours_bolt",
        "abe-redis EventWorker, Bolt",
        crash="taken over, 30 s",
        dedup="1 day",
        note="the same with the handler as a listener of an AsyncApp: what Bolt costs, beside the row above; "
        "its events are a tenth of the others'",
        place=_SLACK,
        kinds=frozenset({"consume"}),
        share=0.1,
    ),
    Contestant(
        "abe_redis_0_1",
        "abe-redis 0.1.0",
        crash="lost",
        dedup="none",
        note="acks before the handler; its limits are raised: with its own it cuts off unread events beyond "
        "10,000, and the 11th publish at once fails",
        place=Streams("slack:events"),
        requirements=("abe-redis==0.1.0", "redis[hiredis]==8.1.0"),
    ),
    Contestant(
        "faststream",
        "FastStream",
        crash="stays pending",
        dedup="none",
        note="acks after the handler; what failed stays pending too, until a subscriber is set up to claim "
        "it; COUNT 100 (it would read everything at once), 64 workers, its log off",
        place=Streams("faststream"),
        requirements=("faststream[redis]==0.7.8", "redis[hiredis]==8.1.0"),
    ),
    Contestant(
        "taskiq",
        "taskiq-redis",
        crash="taken over, 10 min",
        dedup="none",
        note="acks after the handler, failed or not; checks arguments with pydantic; 64 tasks at once",
        place=Streams("taskiq"),
        requirements=("taskiq-redis==1.2.4", "taskiq==0.13.0", "redis[hiredis]==8.1.0"),
    ),
    Contestant(
        "docket",
        "docket",
        crash="taken over, 5 min",
        dedup="until done",
        note="keeps a state per task; pickles; retries if asked; waits 0.1 s whenever all its slots (64) are "
        "taken",
        place=Streams("docket:stream", deletes=True),
        requirements=("pydocket==0.27.0", "redis[hiredis]==8.1.0"),
        share=0.2,
    ),
    Contestant(
        "arq",
        "arq",
        crash="run again, 5 min",
        dedup="1 hour",
        note="keeps a result per job; pickles; what failed is not retried unless it asks; looks for jobs "
        "every 0.5 s, for 320 at a time; 64 jobs at once",
        place=Jobs("arq:queue"),
        requirements=("arq==0.28.0", "redis[hiredis]==5.3.1"),
        share=0.2,
    ),
    Contestant(
        "redis_naive",
        "redis-py, as usual",
        crash="stays pending",
        dedup="none",
        note="an XADD per event; COUNT 10, an XACK per event",
        place=_SLACK,
        kinds=ALL_WORK | SCALES,
    ),
    Contestant(
        "redis_pipelined",
        "redis-py, tuned",
        crash="stays pending",
        dedup="none",
        note="whatever waits to be published shares a pipeline; COUNT 100, one XACK per batch",
        place=_SLACK,
    ),
)
