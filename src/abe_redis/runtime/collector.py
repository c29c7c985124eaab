"""Python's garbage collector, set for a process that does nothing but handle events.

A library leaves it as it is; only the command `abe-redis worker` calls this.
"""

import gc

FIRST_THRESHOLD = 20_000
"""Number of new objects still alive at which young ones are collected: by default 700 to 2,000, which one
batch of events reaches."""


def set_for_a_worker() -> None:
    """Exclude imported objects from every collection, and collect less often.

    A collector that is turned off, or has a higher threshold already, stays so.
    """
    gc.collect()
    gc.freeze()
    first, *others = gc.get_threshold()
    if first:
        gc.set_threshold(max(first, FIRST_THRESHOLD), *others)
