"""Many reads of large events at the same time: some go on, and the others wait their turn."""

import anyio
import anyio.lowlevel
import pytest

from abe_redis.errors import RequestError
from abe_redis.mcp import permissions
from abe_redis.mcp.permissions import Permissions
from abe_redis.streams import peek
from tests.attacks.tally import Tally
from tests.integration.agents import TOPIC, asking, said, server, text_of
from tests.integration.conftest import MakeBackend

AT_ONCE = 40


@pytest.mark.promise("a few calls read events at a time")
@pytest.mark.anyio
async def test_reads_at_the_same_time_wait_their_turn(
    make_backend: MakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    tally, going, most = Tally("reads at the same time"), 0, 0
    entries = peek.entries

    async def counted(*arguments: object, **more: object) -> object:
        nonlocal going, most
        going += 1
        most = max(most, going)
        for _ in range(3):
            await anyio.lowlevel.checkpoint()
        try:
            return await entries(*arguments, **more)  # type: ignore[arg-type]
        finally:
            going -= 1

    monkeypatch.setattr(peek, "entries", counted)
    backend = make_backend()
    await backend.publish(TOPIC, said(1))
    ask = asking(server(backend))
    ways = [("read_stream", {}), ("count_events", {"by": "type"}), ("redrive", {"reason": "x"})]

    async def call(at: int) -> None:
        tool, more = ways[at % len(ways)]
        answer = text_of(await ask(tool, **more))
        tally.tried(f"{tool}: {answer}", escaped="could not be reached" in answer)

    async with anyio.create_task_group() as calls:
        for at in range(AT_ONCE):
            calls.start_soon(call, at)
    tally.tried(f"{most} at once", escaped=most > 4)
    tally.check(least=AT_ONCE)


@pytest.mark.anyio
async def test_a_turn_that_does_not_come_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    limits, held = Permissions(), anyio.Event()

    async def hold() -> None:
        async with limits.turn():
            held.set()
            await anyio.sleep_forever()

    async with anyio.create_task_group() as others:
        for _ in range(4):
            held = anyio.Event()
            others.start_soon(hold)
            await held.wait()
        with monkeypatch.context() as context:
            context.setattr(permissions, "_TURN_SECONDS", 0.01)
            with pytest.raises(RequestError, match=r"This server is busy: .* Try again"):
                async with limits.turn():
                    pytest.fail("it has no turn")
        others.cancel_scope.cancel()
    async with limits.turn():
        """A turn that is over, or was given up, is somebody else's."""
