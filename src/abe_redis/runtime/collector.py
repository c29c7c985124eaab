"""Python's garbage collector, set for a process that does nothing but handle events.

A library leaves it as it is; only the command `abe-redis worker` calls this.
"""

import gc

FIRST_THRESHOLD = 20_000
"""Objects that are made, beyond those that are gone again, before young ones are collected: by default 700 to
2,000, which a batch of events reaches by itself."""


def set_for_a_worker() -> None:
    """Leave what was imported out of every collection, and collect less often.

    Who has turned the collector off, or has a higher threshold already, keeps that.
    """
    gc.collect()
    gc.freeze()
    first, *others = gc.get_threshold()
    if first:
        gc.set_threshold(max(first, FIRST_THRESHOLD), *others)
