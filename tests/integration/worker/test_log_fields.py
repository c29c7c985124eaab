"""What the JSON log says about an event and its delivery, in fields of their own."""

import json
import logging
from typing import Any

import anyio
import pytest

from abe_redis import Bury, Drop, Event, EventWorker, Retry
from abe_redis.observability.logs import JsonFormatter
from tests.integration.conftest import MakeBackend, until

FIELDS = ("stream", "entry_id", "group", "delivery")


@pytest.mark.parametrize("ordered", [False, True])
async def test_each_record_about_an_event_names_it_in_fields(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture, *, ordered: bool
) -> None:
    caplog.set_level(logging.DEBUG, "abe_redis")
    backend = make_backend()
    seen = list[tuple[int, Event]]()
    decisions: dict[int, Any] = {1: Bury("because"), 2: Drop(), 3: Retry(0)}

    async def handle(event: Event) -> None:
        seen.append((event["n"], event))
        if event["n"] == 4:
            await event.nack(reason="later")
        elif event.deliveries == 1:
            raise LookupError("no such channel")

    for number in (1, 2, 3, 4):
        await backend.publish("slack_events", {"n": number})
    worker = EventWorker(
        backend, handle, group="bot", policy=lambda event, _: decisions[event["n"]], ordered=ordered
    )

    async def all_came() -> bool:
        return len({(number, event.deliveries) for number, event in seen}) >= 6

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(all_came)
        await worker.shutdown()
    of = dict(reversed(seen))  # the first delivery of each
    records = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    failed = [one for one in records if one["template"].startswith("The handler of %s of %r failed at")]
    assert len(failed) == 3
    for number, record in zip((1, 2, 3), failed, strict=True):
        assert [record[name] for name in FIELDS] == ["slack_events", of[number].id, "bot", 1]
        assert record["exception"]["type"] == "LookupError"
    back = [one for one in records if one["template"].startswith("Gave back event")]
    assert {one["entry_id"] for one in back} == {of[3].id, of[4].id}
    (buried,) = [one for one in records if one["template"].startswith("Buried event")]
    assert (buried["entry_id"], buried["group"]) == (of[1].id, "bot")
