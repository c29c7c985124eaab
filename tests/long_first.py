"""Tests that take long begin first: otherwise one that chance puts last keeps all workers but one waiting."""

from itertools import islice

import pytest


def spread(items: list[pytest.Item], workers: int) -> None:
    """Begin each worker's share with some of those that are marked `long`.

    The shares are those that pytest-xdist gives out at first, in order, with `--dist worksteal`.
    """
    long = [item for item in items if item.get_closest_marker("long")]
    rest = iter([item for item in items if item not in long])
    ordered, left = list[pytest.Item](), len(items)
    for worker in range(workers):
        share = left // (workers - worker)
        first = long[worker::workers][:share]
        ordered += [*first, *islice(rest, share - len(first))]
        left -= share
    if len(ordered) == len(items):  # they are more than a few
        items[:] = ordered
