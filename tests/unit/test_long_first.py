"""The order of the tests: those that take long begin first, on all workers."""

from typing import Any

import pytest

from tests import long_first


class Item:
    """As much of a test as its order is about."""

    def __init__(self, name: str, *, is_long: bool) -> None:
        self.name, self.is_long = name, is_long

    def get_closest_marker(self, name: str) -> bool:
        assert name == "long"
        return self.is_long


@pytest.mark.parametrize("workers", [1, 2, 3, 6, 8])
@pytest.mark.parametrize("count", [1, 5, 8, 20, 101])
def test_none_is_left_out_and_each_share_begins_with_long_ones(workers: int, count: int) -> None:
    items: list[Any] = [Item(str(number), is_long=number % 9 == 8) for number in range(count)]
    before = [item.name for item in items]
    long = sum(item.is_long for item in items)
    long_first.spread(items, workers)
    assert sorted(item.name for item in items) == sorted(before)
    begin = 0
    for worker in range(workers) if count > workers else ():
        share = (count - begin) // (workers - worker)
        of = len(range(worker, long, workers))
        assert [item.is_long for item in items[begin : begin + share]] == [True] * of + [False] * (share - of)
        begin += share
