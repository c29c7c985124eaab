"""The promises of nacks, delays and burial, through the public doors."""

import anyio
import pytest

from abe_redis.errors import LeaseLostError
from tests.contract.conftest import Backend, Make
from tests.contract.taking import TOPIC, Reasons, none_comes, take
from tests.patience import PATIENCE


async def test_a_nack_delivers_again_after_its_delay(backend: Backend) -> None:
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        (first,) = await take(events)
        await first.nack(delay=1)
        (second,) = await take(events)
        assert second["n"] == 2
        with pytest.raises(LeaseLostError):
            await first.nack()
        (again,) = await take(events)
        assert (again["n"], again.deliveries) == (1, 2)


async def test_an_event_delivered_too_often_is_buried(make: Make, reasons: Reasons) -> None:
    backend = make(redis_stream_max_deliveries=2)
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        for _ in range(2):
            (event,) = await take(events)
            assert event["n"] == 1
            await event.nack()
        (event,) = await take(events)
        assert event["n"] == 2
    with anyio.fail_after(PATIENCE):
        while await reasons(backend) != ["delivered 2 times without an ack"]:
            await anyio.sleep(0.01)


async def test_the_last_reason_to_give_an_event_back_is_kept(make: Make, reasons: Reasons) -> None:
    backend = make(redis_stream_max_deliveries=2)
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume() as events:
        for said in ("it is early", "it is too late"):
            (event,) = await take(events)
            assert event["n"] == 1
            await event.nack(reason=said)
        await take(events)
        with anyio.fail_after(PATIENCE):
            while not (found := await reasons(backend)):
                await anyio.sleep(0.01)
    assert found == ["delivered 2 times without an ack, last given back with: it is too late"]


async def test_burying(backend: Backend, reasons: Reasons) -> None:
    await backend.publish(TOPIC, {"n": 1})
    async with backend.consume() as events:
        (event,) = await take(events)
        await event.bury(reason="it cannot be done")
        with pytest.raises(LeaseLostError):
            await event.bury(reason="again")
        assert await none_comes(events)
    assert await reasons(backend) == ["it cannot be done"]


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_nack_that_does_not_count_leaves_the_deliveries_as_they_were(
    make: Make, ordered: bool
) -> None:
    backend = make()
    await backend.publish("slack_events", {"n": 1})
    consume = backend.consume_ordered if ordered else backend.consume
    async with consume() as events:
        for delay in (0, 0.05, 0):
            (event,) = await take(events)
            assert event.deliveries == 1
            await event.nack(delay=delay, counted=False)
        (event,) = await take(events)
        assert event.deliveries == 1
        await event.nack()
        for counted in (False, True):
            (event,) = await take(events)
            assert event.deliveries == 2
            await event.nack(counted=counted)
        (event,) = await take(events)
        assert event.deliveries == 3
