"""What is tried again, how long, and which failure is told."""

import time

import anyio
import pytest
from redis import exceptions

from abe_redis.publishing.retry import FirstTry, retry

LOST = exceptions.ConnectionError("lost")
REFUSED = exceptions.ResponseError("WRONGTYPE")


class Tries:
    """Fails as it is told, then succeeds; `None` is a try that hangs."""

    def __init__(self, *outcomes: BaseException | None) -> None:
        self.left = list(outcomes)
        self.between = 0
        self.made = 0

    async def attempt(self) -> str:
        self.made += 1
        if not self.left:
            return "done"
        outcome = self.left.pop(0)
        if outcome is None:
            await anyio.sleep_forever()
        else:
            raise outcome
        return "never"

    async def revive(self) -> None:
        self.between += 1

    async def run(self, *, seconds: float = 30, failed: FirstTry | None = None) -> str:
        return await retry(self.attempt, seconds=seconds, between=self.revive, failed=failed)


async def test_a_successful_publish_is_sent_once() -> None:
    tries = Tries()
    assert await tries.run() == "done"
    assert (tries.made, tries.between) == (1, 0)


async def test_a_passing_failure_is_tried_again_behind_a_new_connection() -> None:
    tries = Tries(LOST, OSError("away"))
    assert await tries.run() == "done"
    assert (tries.made, tries.between) == (3, 2)


async def test_a_permanent_failure_is_not_retried() -> None:
    tries = Tries(LOST, REFUSED)
    with pytest.raises(exceptions.ResponseError, match="WRONGTYPE"):
        await tries.run()
    assert (tries.made, tries.between) == (2, 1)


async def test_when_the_time_is_up_what_went_wrong_before_is_told() -> None:
    with pytest.raises(exceptions.ConnectionError, match="lost"):
        await Tries(LOST, None).run(seconds=0.3)
    with pytest.raises(TimeoutError):
        await Tries(None).run(seconds=0.05)


async def test_no_pause_goes_beyond_the_time() -> None:
    tries = Tries(LOST)
    with pytest.raises(exceptions.ConnectionError, match="lost"):
        await tries.run(seconds=0.01)
    assert (tries.made, tries.between) == (1, 0)


async def test_a_first_try_counts() -> None:
    tries = Tries()
    assert await tries.run(failed=FirstTry(time.monotonic(), LOST)) == "done"
    assert (tries.made, tries.between) == (1, 1)
    with pytest.raises(exceptions.ConnectionError, match="lost"):
        await Tries().run(failed=FirstTry(time.monotonic() - 60, LOST))
    with pytest.raises(exceptions.ResponseError):
        await Tries().run(failed=FirstTry(time.monotonic(), REFUSED))


@pytest.mark.parametrize("error", [ValueError("ours"), RuntimeError("ours")])
async def test_an_error_that_is_not_the_servers_goes_through(error: Exception) -> None:
    tries = Tries(error)
    with pytest.raises(type(error)):
        await tries.run()
    assert tries.made == 1
