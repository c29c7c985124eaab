"""A needed command that is refused: one sentence names it, and each of the matrix is tried."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError, RedisRefusedError
from tests.patience import PATIENCE

pytestmark = pytest.mark.one_server

PAGE = Path(__file__).parents[3] / "docs/where-redis-runs.md"
TOPIC = "slack_events"


def needed() -> list[str]:
    """The commands that the page says are needed, but for those of a role or a topology of its own."""
    matrix = PAGE.read_text(encoding="utf-8").split("## Which command is needed for what")[1]
    rows = [row for row in matrix.splitlines() if "the error names it" in row]
    return [name.lower() for row in rows for name in re.findall(r"`([A-Z]+)`", row.split("|")[1])]


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


async def live(settings: Settings, admin: Redis, is_over: Callable[[], bool]) -> None:
    """Publish, handle with retries, postponements and burials; take over, and lose, what others leave."""
    handled = list[int]()

    async def handle(event: Event) -> None:
        handled.append(event["n"])
        if event["n"] == 1 and event.deliveries == 1:
            await event.nack(delay=0.1)
        elif event["n"] == 2 and event.deliveries == 1:
            raise ValueError
        elif event["n"] == 3:
            await event.bury(reason="of no use")

    async with RedisMessageQueueBackend(settings) as backend:

        async def work(count: float) -> None:
            worker = EventWorker(backend, handle, policy=Backoff(first=0.1))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(worker.run)
                while len(handled) < count and not is_over():
                    await anyio.sleep(0.02)
                await worker.shutdown()

        await backend.publish(TOPIC, {"n": 0})
        await backend.publish_many(TOPIC, [{"n": n} for n in range(1, 4)])
        await work(6)
        if is_over():
            return
        await backend.publish(TOPIC, {"n": 4})
        found: Any = await admin.xreadgroup("default", "dead", {TOPIC: ">"}, count=1)
        ((_, ((held, _),)),) = found
        await admin.xclaim(TOPIC, "default", "dead", 0, [held], idle=100_000)
        await admin.zadd("abe:due:{slack_events}:default", {"1-1": 1e14})
        await work(7)
        if is_over():
            return
        await backend.publish_many(TOPIC, [{"n": 5}, {"n": 6}])
        await admin.xtrim(TOPIC, 1, approximate=False)
        await work(math.inf)  # what is needed now and then is needed in the end


@pytest.mark.parametrize("command", needed())
async def test_the_sentence_names_it(
    redis: Redis, redis_url: str, caplog: pytest.LogCaptureFixture, command: str
) -> None:
    """Redis checks the rights of a user within scripts, too, where a proxy sees EVALSHA alone."""
    send: Any = redis.execute_command
    await send("ACL", "SETUSER", "worker", "on", ">secret", "~*", "&*", "+@all", f"-{command}")
    settings = Settings(
        redis_url=redis_url,
        redis_username="worker",
        redis_password="secret",
        redis_stream_lease_seconds=1,
        redis_stream_maxlen=2,
        redis_stream_patterns=TOPIC,
    )
    raised = ""

    def said() -> str:
        return raised + " ".join(record.getMessage() for record in caplog.records)

    def is_named() -> bool:
        return re.search(rf"'?{command}\b", said(), re.IGNORECASE) is not None

    with anyio.move_on_after(PATIENCE):
        try:
            await live(settings, redis, is_named)
        except* AbeRedisError as errors:
            raised = " ".join(map(str, errors.exceptions))
    assert is_named(), said()
    assert "Traceback" not in said()


@pytest.mark.parametrize("kind", ["make_server", "debian_redis"])
@pytest.mark.parametrize("command", ["XADD", "XLEN"])
async def test_one_that_was_renamed_away_is_named_too(
    request: pytest.FixtureRequest, kind: str, command: str
) -> None:
    """As some managed services and hardened servers have it, for everybody and within scripts, too."""
    server = request.getfixturevalue(kind)(options={"rename-command": f'{command} ""'})
    async with RedisMessageQueueBackend(Settings(redis_url=server.url)) as backend:
        with pytest.raises(RedisRefusedError, match=rf"\b{command}\b.*\bACL SETUSER\b"):
            await backend.publish(TOPIC, {"n": 0})
