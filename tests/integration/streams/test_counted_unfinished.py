"""How many events a moved group gives up: counted, or as many as are certain."""

import pytest
from redis.asyncio import Redis

from abe_redis.streams import manage
from abe_redis.streams.manage import Unfinished
from tests.integration.on_streams import A, fill, group


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.mark.parametrize(
    ("is_lag_known", "to", "expected"),
    [
        (True, "$", Unfinished(0, 30)),
        (True, 24, Unfinished(0, 25)),
        (True, 14, Unfinished(0, 10, is_all=False)),
        (True, 8, Unfinished(0, 9)),
        (True, 9, Unfinished(0, 10)),
        (False, "$", Unfinished(0, 10, is_all=False)),
        (False, 24, Unfinished(0, 10, is_all=False)),
    ],
)
async def test_the_skipped_are_counted_or_said_to_be_more(
    commands: Redis,
    monkeypatch: pytest.MonkeyPatch,
    is_lag_known: bool,
    to: int | str,
    expected: Unfinished,
) -> None:
    monkeypatch.setattr(manage, "MOST_COUNTED", 10)
    ids = await fill(commands, A, 30)
    if not is_lag_known:
        await commands.xgroup_setid(A, "g", ids[3])
        assert (await group(commands))["lag"] is None
    position = to if isinstance(to, str) else ids[to]
    assert await manage.reset(commands, A, "g", position, force=False) == (expected, False)
    assert await manage.reset(commands, A, "g", position, force=True) == (expected, True)
