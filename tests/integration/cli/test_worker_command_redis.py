"""`abe-redis worker` and a Redis that is away, or refuses."""

import pytest

from abe_redis import EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import RedisRefusedError
from tests.integration.cli.worker_process import (
    Start,
    end,
    publish,
    queue,
    start,
    wait_for_log,
    wait_until_said,
)
from tests.servers import Server

__all__ = ["queue", "start"]


def test_a_redis_that_is_away_is_waited_for(
    own_server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", own_server.url)
    own_server.stop()
    impatient, worker = start("bot:handle"), start("bot:handle")
    for one in (impatient, worker):
        wait_for_log(one, "could not be reached")
    end(impatient)
    own_server.start()
    publish(own_server, {"n": 1})
    assert wait_until_said(worker, "finished")[0]["n"] == 1
    wait_for_log(worker, "reads again")
    end(worker)


def test_a_redis_that_refuses_is_not(queue: Server, start: Start) -> None:
    url = queue.url.replace("://", "://nobody:s3cret@")
    worker = start("bot:handle", REDIS_URL=url)
    assert worker.wait() == 1
    assert worker.stderr.splitlines()[-1].startswith(
        f"abe-redis: Redis at {queue.url} refused the user name or password while reading group 'workers' "
        "(invalid username-password pair or user is disabled). Check REDIS_USERNAME and REDIS_PASSWORD, or "
        "the credentials in REDIS_URL."
    )
    assert "Traceback" not in worker.stderr
    assert "s3cret" not in worker.stderr


async def test_a_worker_in_a_program_raises_the_refusal_itself(redis_url: str) -> None:
    """Not in the groups of its task groups."""
    settings = Settings(redis_url=redis_url.replace("://", "://nobody:s3cret@"))
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(RedisRefusedError, match="refused the user name or password"):
            await EventWorker(backend, print).run()
