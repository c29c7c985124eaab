"""The garbage collector of our commands' processes; the collector of this one is put back."""

import gc
from collections.abc import Iterator

import pytest

from abe_redis.runtime import collector


@pytest.fixture(autouse=True)
def _put_back() -> Iterator[None]:
    threshold = gc.get_threshold()
    gc.unfreeze()
    yield
    gc.set_threshold(*threshold)
    gc.enable()
    gc.freeze()  # as tests/conftest.py has it


@pytest.mark.parametrize(("first", "then"), [(700, 20_000), (2000, 20_000), (50_000, 50_000), (0, 0)])
def test_young_objects_are_collected_less_often(first: int, then: int) -> None:
    gc.set_threshold(first, 10, 10)
    collector.set_for_a_worker()
    assert gc.get_threshold()[0] == then
    assert gc.get_freeze_count() > 0, "what was imported is left out of every collection"


def test_it_is_off_during_imports_and_leaves_out_what_they_made() -> None:
    with collector.idle_during_imports():
        assert not gc.isenabled()
        assert not gc.get_freeze_count()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0


def test_it_is_on_again_after_an_import_that_fails() -> None:
    with pytest.raises(ImportError), collector.idle_during_imports():
        raise ImportError
    assert gc.isenabled()


def test_who_has_turned_it_off_finds_it_so_after_imports() -> None:
    gc.disable()
    with collector.idle_during_imports():
        pass
    assert not gc.isenabled()
