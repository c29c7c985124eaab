"""An operator's day through real clients, on the newest release of both lines of the SDK."""

from collections.abc import Mapping
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from tests.answer_readers import Reader, StructureReader, TextReader
from tests.days_work import seed, solve
from tests.hosts import environments
from tests.hosts.mcp_sessions import Client, connect

__all__ = ["connect"]

LINES = ("1.30", "2.3")


@pytest.mark.parametrize("reader", [TextReader(), StructureReader()], ids=["text", "structure"])
@pytest.mark.parametrize("version", LINES)
def test_every_task_is_solved_by_a_real_client(
    version: str, reader: Reader, connect: Any, redis_url: str
) -> None:
    sdk = environments.mcp_sdk(version)
    structured = "1" if isinstance(reader, StructureReader) else "0"
    client: Client = connect(
        sdk, sdk, redis_url, "--create-groups", modern=version.startswith("2"), structured=structured
    )

    async def call(tool: str, /, **arguments: Any) -> Mapping[str, Any]:
        answer = client.answer(tool, **arguments)
        assert not answer["isError"], answer
        return answer

    async def day() -> None:
        async with (
            Redis.from_url(redis_url) as redis,
            RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend,
        ):
            await seed(backend, redis)
        await solve(call, reader)

    anyio.run(day)
    client.close()
