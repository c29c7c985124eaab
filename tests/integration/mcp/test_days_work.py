"""An operator's day, by an agent that reads only texts of answers, and by one that reads only structures."""

from collections.abc import Mapping
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.mcp.permissions import Permissions
from tests.answer_readers import Reader, StructureReader, TextReader
from tests.days_work import TASKS, seed, solve
from tests.integration.agents import asking, server
from tests.integration.conftest import MakeBackend


@pytest.mark.parametrize("reader", [TextReader(), StructureReader()], ids=["text", "structure"])
async def test_every_task_takes_few_calls_and_few_characters(
    make_backend: MakeBackend, redis: Redis, reader: Reader
) -> None:
    backend = make_backend()
    await seed(backend, redis)
    ask = asking(
        server(backend, Permissions(structured=isinstance(reader, StructureReader), create_groups=True))
    )

    async def call(tool: str, /, **arguments: Any) -> Mapping[str, Any]:
        answer: dict[str, Any] = (await ask(tool, **arguments)).model_dump(by_alias=True)
        return answer

    await solve(call, reader)


def test_there_are_thirty_of_them() -> None:
    assert len(TASKS) >= 30
