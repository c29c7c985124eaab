"""Ordered and unordered workers side by side in one group keep no order, and say so."""

import logging
from typing import Any

import anyio
import pytest

from abe_redis import Event, EventWorker
from tests.integration.conftest import MakeBackend
from tests.integration.consuming.ordered.logged_workers import TOPIC, at_work, publish, until_true, worker

LEASE = 0.5


class Recorder:
    """A handler that notes by which consumer it was called."""

    def __init__(self) -> None:
        self.handled = 0
        self.name = ""

    async def __call__(self, event: Event) -> None:
        self.handled += 1
        self.name = event._holder.name  # type: ignore[union-attr]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if "has ordered consumers" in one.getMessage()]


def working(make_backend: MakeBackend, handler: Recorder, *, ordered: bool) -> EventWorker:
    return worker(make_backend(redis_stream_lease_seconds=LEASE), handler, ordered=ordered)


@pytest.mark.promise("notices consumers of the other kind in its group warns of it once in its log")
@pytest.mark.parametrize("first_is_ordered", [True, False])
async def test_each_side_says_once_that_the_other_kind_is_there(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture, first_is_ordered: bool
) -> None:
    """Whichever comes first: the unordered one sees an owner, the ordered one that others read its stream."""
    caplog.set_level(logging.WARNING)
    by = {ordered: Recorder() for ordered in (True, False)}
    first, second = (
        working(make_backend, by[ordered], ordered=ordered)
        for ordered in (first_is_ordered, not first_is_ordered)
    )
    publisher = make_backend()
    await publish(publisher, "A", 0)
    async with at_work(first):
        await until_true(lambda: by[first_is_ordered].handled)
        assert not warnings(caplog)
        async with at_work(second), anyio.create_task_group() as tasks:
            tasks.start_soon(_keep_publishing, publisher)
            await until_true(lambda: len(warnings(caplog)) == 2 and by[True].name and by[False].name)
            await anyio.sleep(4 * LEASE)  # it could say so again now
            tasks.cancel_scope.cancel()
    said = warnings(caplog)
    assert len(said) == 2
    for one in said:
        assert f"Group 'default' of {TOPIC!r} has ordered consumers ({by[True].name!r})" in one
        assert f"and unordered ones ({by[False].name!r}) side by side" in one
        assert "Run all workers of the group with --ordered (consume_ordered), or none" in one
    assert {one.levelname for one in caplog.records if "has ordered consumers" in one.getMessage()} == {
        "WARNING"
    }


async def _keep_publishing(publisher: Any) -> None:
    number = 0
    while True:
        number += 1
        await publish(publisher, "A", number)
        await anyio.sleep(0.02)


@pytest.mark.parametrize("ordered", [True, False])
async def test_workers_of_one_kind_have_nothing_to_say(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture, ordered: bool
) -> None:
    handler = Recorder()
    workers = [working(make_backend, handler, ordered=ordered) for _ in range(2)]
    publisher = make_backend()
    async with at_work(*workers):
        for number in range(5):
            await publish(publisher, "ABC", number)
            await anyio.sleep(LEASE)
        await until_true(lambda: handler.handled >= 15)
    assert not warnings(caplog)
