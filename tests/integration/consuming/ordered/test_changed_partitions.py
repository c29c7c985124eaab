"""The number of partitions is changed as the page about order says, while events come: none overtakes one."""

import json
import logging
import re
import shlex
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from abe_redis import Event, RedisMessageQueueBackend
from abe_redis.consuming import discovery
from tests.command_line import run_command
from tests.integration.conftest import MakeBackend, until
from tests.integration.consuming.ordered.logged_workers import (
    TOPIC,
    Log,
    at_work,
    publish,
    until_true,
    worker,
)

PAGE = (Path(__file__).parents[4] / "docs/ordering.md").read_text(encoding="utf-8")
CHANNELS = "ABCDEFGHIJKL"
_LOOP = re.compile(r"for n in (?P<numbers>[\d ]+); do (?P<command>.*); done")


def steps(new: int) -> list[list[str]]:
    """The commands of each snippet of the section, for another number of partitions than its 5."""
    _, section = PAGE.split("\n### Change the number of partitions in order\n")
    found = []
    for block in re.findall(r"^```sh\n(.*?)\n```", section.split("\n## ")[0], re.DOTALL | re.MULTILINE):
        if loop := _LOOP.fullmatch(block):
            assert loop["numbers"] == "0 1 2 3 4"
            found.append([loop["command"].replace("$n", str(number)) for number in range(new)])
        else:
            found.append([block])
    return found


async def follow(commands: Iterable[str]) -> None:
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "abe-redis"
        done = await anyio.to_thread.run_sync(run_command, *arguments)
        assert done.returncode == 0, (command, done.stderr)


async def is_finished(streams: set[str]) -> bool:
    """What `group list` shows of them."""
    done = await anyio.to_thread.run_sync(run_command, "group", "list", "--json")
    groups = [one for one in json.loads(done.stdout)["groups"] if one["stream"] in streams]
    return [(one["pending"], one["lag"]) for one in groups] == [(0, 0)] * len(streams)


class Slow(Log):
    """Has the handlers take longer than the publishers, and wait while the test looks at what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = anyio.Event()
        self.go_on.set()

    async def __call__(self, event: Event) -> None:
        await self.go_on.wait()
        await anyio.sleep(0.01)
        await super().__call__(event)


class Load:
    """Publishes a number after the other in each channel."""

    def __init__(self) -> None:
        self.count = 0

    @asynccontextmanager
    async def of(self, backend: RedisMessageQueueBackend) -> AsyncIterator[None]:
        stopped = False

        async def run() -> None:
            while not stopped:
                await self.add(backend, 1)
                await anyio.sleep(0.05)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(run)
            yield
            stopped = True

    async def add(self, backend: RedisMessageQueueBackend, count: int) -> None:
        await publish(backend, CHANNELS, *range(self.count, self.count + count))
        self.count += count

    async def some(self) -> None:
        count = self.count
        await until_true(lambda: self.count >= count + 5)


@pytest.mark.promise("change it in two steps")
@pytest.mark.parametrize(("old", "new"), [(2, 5), (5, 2)])
async def test_the_number_of_partitions_changes_in_order_as_the_page_says(
    make_backend: MakeBackend,
    redis_url: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    old: int,
    new: int,
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    caplog.set_level(logging.INFO, discovery.__name__)
    to_one, go_on_in_one, to_new, go_on_in_new = steps(new)
    log, load = Slow(), Load()
    partitions = {number: {f"{TOPIC}:p{at}" for at in range(number)} for number in (old, new)}

    async def workers_say_paused(streams: set[str]) -> None:
        said = [f"Group 'workers' of {stream!r} is paused" for stream in streams]
        await until_true(lambda: all(caplog.text.count(one) == len(workers) for one in said))

    workers = [worker(make_backend(), log, group="workers") for _ in range(2)]
    async with at_work(*workers):
        publisher: Any = make_backend(redis_stream_partitions=old)
        async with load.of(publisher):
            await load.some()
            await follow(to_one)
            await workers_say_paused({TOPIC})
        log.go_on = anyio.Event()
        await load.add(publisher, 40)
        publisher = make_backend(redis_stream_partitions=1)
        await load.add(publisher, 1)
        assert not await is_finished(partitions[old]), "the test shows nothing"
        log.go_on.set()
        async with load.of(publisher):
            await load.some()
            await until(lambda: is_finished(partitions[old]))
            await follow(go_on_in_one)
            await follow(to_new)
            await workers_say_paused(partitions[new])
        log.go_on = anyio.Event()
        await load.add(publisher, 40)
        publisher = make_backend(redis_stream_partitions=new)
        await load.add(publisher, 1)
        assert not await is_finished({TOPIC}), "the test shows nothing"
        log.go_on.set()
        async with load.of(publisher):
            await load.some()
            await until(lambda: is_finished({TOPIC}))
            await follow(go_on_in_new)
            await load.some()
        await log.all_ended(CHANNELS, load.count)
    assert log.began == {channel: list(range(load.count)) for channel in CHANNELS}
