"""The back ends that the contract is about."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Protocol

import anyio
import pytest

from abe_redis import EventWorker, Operations, RedisMessageQueueBackend, Settings
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.scope import Scope
from abe_redis.settings.url import split_url
from abe_redis.testing import InMemoryBackend
from tests.patience import PATIENCE
from tests.refusing_proxy import OPTIONAL, RefusingProxy, refusing

type Backend = RedisMessageQueueBackend | InMemoryBackend


class Make(Protocol):
    def __call__(self, **settings: Any) -> Backend: ...


async def run_until(worker: EventWorker, condition: Callable[[], bool]) -> None:
    """Run a worker until the condition holds, and shut it down."""
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            while not condition():
                await anyio.sleep(0.005)
            await worker.shutdown()


ALL = "all that is optional"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run on Redis, in memory, and on Redis behind a proxy that refuses what is optional."""
    if "make" in metafunc.fixturenames:
        refused = OPTIONAL if metafunc.config.getoption("--refuse-each") else (ALL,)
        kinds = ["redis", "memory", *(f"without {command}" for command in refused)]
        metafunc.parametrize("make", kinds, indirect=True)


@pytest.fixture
async def make(request: pytest.FixtureRequest) -> AsyncIterator[Make]:
    """Makes back ends of one queue, as if each were in a process of its own; they are closed at the end."""
    made: list[Backend] = []
    async with AsyncExitStack() as stack:
        url = request.getfixturevalue("redis_url") if request.param != "memory" else "redis://nowhere"
        if request.param.startswith("without "):
            command = request.param.removeprefix("without ")
            refusal = refusing(*(OPTIONAL if command == ALL else (command,)))
            proxy = RefusingProxy(split_url(url)[1][0][1] or 0, refusal)
            url = f"redis://127.0.0.1:{(await stack.enter_async_context(proxy)).port}"

        def another(**settings: Any) -> Backend:
            conversation = settings.pop("conversation", None)
            configured = Settings(**{"redis_url": url} | settings)
            backend: Backend
            if request.param != "memory":
                backend = RedisMessageQueueBackend(configured, conversation=conversation)
            else:
                first = made[0] if made else None
                assert first is None or isinstance(first, InMemoryBackend)
                backend = InMemoryBackend(configured, conversation=conversation, shared_with=first)
            made.append(backend)
            stack.push_async_callback(backend.close)
            return backend

        yield another


@pytest.fixture
async def backend(make: Make) -> Backend:
    return make()


@pytest.fixture
def reasons() -> Callable[[Backend], Awaitable[list[str]]]:
    """Why the dead letters of a queue were given up on."""

    async def look(backend: Backend) -> list[str]:
        if isinstance(backend, InMemoryBackend):
            return [one.reason for one in backend.buried()]
        letters = DeadLetters(Scope(backend))
        return [one.reason for one in (await letters.find(None, Choice(everything=True), count=100)).letters]

    return look


@pytest.fixture
def stored() -> Callable[[Backend, str], Awaitable[list[Any]]]:
    """What a stream holds, the oldest first."""

    async def look(backend: Backend, stream: str) -> list[Any]:
        if isinstance(backend, InMemoryBackend):
            return backend.published(stream)
        settings = Settings(redis_url=backend.settings.redis_url, redis_stream_patterns=stream)
        async with RedisMessageQueueBackend(settings) as reader:
            result = await Operations(reader).read_stream(stream=stream, count=100, order="oldest")
        return [one.payload for one in result.events]

    return look
