"""A call that leases events and gets no answer out gives them back, however it ends."""

from types import SimpleNamespace

import anyio
import anyio.lowlevel
import pytest

from abe_redis.mcp import progress
from abe_redis.mcp.lease_calls import LEASE_CALL, LeaseCalls

REQUEST = SimpleNamespace(request_context=SimpleNamespace(request_id=1, request=None))


class Leased:
    """What a call has leased, and what went back."""

    def __init__(self) -> None:
        self.given_back = 0

    def by_the_running_call(self) -> None:
        call = LEASE_CALL.get()
        assert call is not None
        call.take_back = self._give_back

    async def _give_back(self) -> None:
        await anyio.lowlevel.checkpoint()  # as a command to Redis, which a cancellation would end
        self.given_back += 1


async def test_events_go_back_when_the_call_is_cancelled_after_its_tool_has_returned() -> None:
    calls, leased = LeaseCalls(), Leased()
    with anyio.CancelScope() as of_the_sdk:
        async with (
            calls.known("lease_events", None, REQUEST),
            progress.reported(REQUEST, {"wait_seconds": 5}),
        ):
            await anyio.sleep(0.01)  # so that the progress is being told
            leased.by_the_running_call()
            of_the_sdk.cancel()
    assert of_the_sdk.cancelled_caught
    assert leased.given_back == 1
    await calls.cancelled(None, 1)
    assert leased.given_back == 1


async def test_events_go_back_when_the_call_fails_after_its_tool_has_returned() -> None:
    calls, leased = LeaseCalls(), Leased()
    with pytest.raises(ValueError, match="no answer"):
        async with calls.known("lease_events", None, REQUEST):
            leased.by_the_running_call()
            raise ValueError("no answer")
    assert leased.given_back == 1


async def test_events_stay_leased_when_the_call_is_answered() -> None:
    calls, leased = LeaseCalls(), Leased()
    async with calls.known("lease_events", None, REQUEST):
        leased.by_the_running_call()
    assert leased.given_back == 0
    await calls.cancelled(None, 1)
    assert leased.given_back == 1, "also when the client cancels after that"
