"""The transport under a storm of calls, cuts and cancellations, on any event loop."""

import asyncio
import random
from collections.abc import Callable, Iterator

import pytest
from redis import exceptions

from tests.unit.client import (
    test_transport_broken,
    test_transport_end,
    test_transport_silence,
    test_transport_writes,
)
from tests.unit.client.transports import _nobody_complains
from tests.unit.fake_server import (
    Peer,
    bulk,
    opened,
    turns,
)

__all__ = ["_nobody_complains"]


async def storm(*, cuts: bool) -> None:
    """Thousands of calls, some cancelled, through a server that answers in pieces and may hang up."""
    dice = random.Random(random.random())

    async def behave(peer: Peer) -> None:
        left = dice.randrange(1, 400) if cuts else 10**9
        pending = b""
        while True:
            pending += bulk((await peer.command())[-1])
            left -= 1
            if not left:
                peer.send(pending[: dice.randrange(len(pending))])
                await (peer.hang_up() if dice.random() < 0.5 else asyncio.sleep(0))
                peer.cut()
                return
            while pending and dice.random() < 0.7:
                size = dice.randrange(1, 60)
                peer.send(pending[:size])
                pending = pending[size:]
                if dice.random() < 0.1:
                    await asyncio.sleep(0)
            if len(pending) > 500 or peer._reader._buffer == b"":  # type: ignore[attr-defined]
                peer.send(pending)
                pending = b""

    async with opened(behave, max_calls=dice.choice([1, 7, 100, 5000])) as (transport, server):
        counts = {"own": 0, "lost": 0, "cancelled": 0}

        async def caller(name: int) -> None:
            for n in range(20):
                word = f"{name}-{n}-".encode() + b"x" * dice.randrange(100)
                call = asyncio.ensure_future(transport.call("ECHO", word))
                if dice.random() < 0.2:
                    await turns(dice.randrange(5))
                    call.cancel()
                try:
                    assert await call == word
                    counts["own"] += 1
                except asyncio.CancelledError:
                    counts["cancelled"] += 1
                except exceptions.ConnectionError:
                    counts["lost"] += 1

        await asyncio.gather(*map(caller, range(200)))
        assert sum(counts.values()) == 4000
        assert counts["own"] > 100
        assert (counts["lost"] > 0) == cuts
        sent = [bytes(command[-1]) for command in server.commands]
        assert len(sent) == len(set(sent)), "nothing is sent twice"
        assert cuts or await transport.call("ECHO", "last") == b"last"


@pytest.mark.parametrize("cuts", [False, True])
async def test_everybody_gets_their_own_answer_or_an_error(cuts: bool) -> None:
    await storm(cuts=cuts)


@pytest.fixture(params=["asyncio", "uvloop"])
def new_loop(request: pytest.FixtureRequest) -> Iterator[Callable[[], asyncio.AbstractEventLoop]]:
    if request.param == "asyncio":
        yield asyncio.new_event_loop
    else:
        yield pytest.importorskip("uvloop").new_event_loop


def test_any_event_loop_will_do(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    async def scenario() -> None:
        for cuts in (False, True):
            await storm(cuts=cuts)
        await test_transport_writes.test_commands_that_the_socket_does_not_take_become_one_write()
        await test_transport_silence.test_a_server_that_never_answers()
        await test_transport_silence.test_a_server_that_stops_reading()
        await test_transport_broken.test_an_answer_too_many_reaches_nobody(b"+more\r\n")
        await test_transport_end.test_close_while_it_opens(3)
        await test_transport_end.test_close_while_the_socket_takes_no_more()
        await test_transport_broken.test_a_cut_at_every_byte("RST")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(scenario())
