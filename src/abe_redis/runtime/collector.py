"""Python's garbage collector, set for a process that is one of our commands.

A library leaves it as it is; only our commands call this.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def idle_during_imports() -> Iterator[None]:
    """Pause it while modules are imported, and exclude their objects from every later collection.

    They are several hundred thousand, nearly all of which stay: collecting meanwhile is a fifth of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if was_on:
            gc.enable()
