"""The garbage collector of a worker's process; the collector of this one is put back."""

import gc
from collections.abc import Iterator

import pytest

from abe_redis.runtime import collector


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    threshold, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    gc.set_threshold(*threshold)
    if not frozen:
        gc.unfreeze()


@pytest.mark.parametrize(("first", "then"), [(700, 20_000), (2000, 20_000), (50_000, 50_000), (0, 0)])
def test_young_objects_are_collected_less_often(first: int, then: int) -> None:
    gc.set_threshold(first, 10, 10)
    collector.set_for_a_worker()
    assert gc.get_threshold()[0] == then
    assert gc.get_freeze_count() > 0, "what was imported is left out of every collection"
