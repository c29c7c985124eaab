"""Consumers and agents in processes of their own, that hold events and are frozen."""

from contextlib import AsyncExitStack
from typing import Self

from abe_redis import RedisMessageQueueBackend, Settings
from tests.clocks import OtherProcess
from tests.integration.agents import GROUP, Ask, asking, lease, server
from tests.integration.conftest import take_one, until


class Holder:
    """A consumer or an agent in a process of its own; frozen, it is as good as dead."""

    def __init__(self, url: str, lease_seconds: float, *, agent: bool) -> None:
        self._settings = Settings(redis_url=url, redis_stream_lease_seconds=lease_seconds)
        self._is_agent = agent
        self._process = OtherProcess()
        self._backend: RedisMessageQueueBackend | None = None

    async def take(self) -> str:
        """The id of an event that it holds from now on."""
        return await self._process.do(self._take())

    async def _take(self) -> str:
        self._backend = RedisMessageQueueBackend(self._settings)
        if self._is_agent:
            return await an_id(asking(server(self._backend)))
        self._events = self._backend.consume(group=GROUP)
        return (await take_one(self._events)).id

    async def freeze(self) -> None:
        await self._process.freeze()

    async def close(self) -> None:
        self._process.thaw()
        if self._backend is not None:
            await self._process.do(self._backend.close())

    async def __aenter__(self) -> Self:
        self._process.__enter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()
        self._process.__exit__()


async def an_id(ask: Ask) -> str:
    """Of an event that an agent is given, as soon as there is one."""
    (found,) = await until(lambda: lease(ask, 1))
    return str(found)


class Holders:
    """Makes them, each with a lease of its own."""

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self._url = url
        self._stack = stack

    async def __call__(self, lease_seconds: float, *, agent: bool = False) -> Holder:
        return await self._stack.enter_async_context(Holder(self._url, lease_seconds, agent=agent))
