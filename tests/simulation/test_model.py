"""The model explores every state once, and says what is wrong with one."""

import time

from tests.simulation.direct import Direct, finish
from tests.simulation.member import GROUP, STREAM, Budget
from tests.simulation.model import Explorer


def _explorer(**budget: int) -> Explorer:
    return Explorer(budget=Budget(**budget), events=1, deadline=time.monotonic() + 60)


def test_without_faults_every_state_is_seen_and_right() -> None:
    explorer = _explorer(ticks=1, faults=0, fails=0, reads=2)
    assert explorer.explore() is None
    assert explorer.is_complete
    assert explorer.states > 20


def test_the_way_to_what_is_wrong_is_told() -> None:
    explorer = _explorer(ticks=0, faults=0, fails=0, reads=1)

    async def lose_one() -> None:
        redis = Direct(explorer.first.server)
        await redis.execute_command("XREADGROUP", "GROUP", GROUP, "x", "STREAMS", STREAM, ">")
        await redis.execute_command("XACK", STREAM, GROUP, "1-0")

    finish(lose_one())
    assert explorer.explore() == ["['1-0'] are neither done, pending nor unread"]
