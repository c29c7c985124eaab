"""A handler forks: the child ends where the handler ends in it, and no second worker lives on."""

import subprocess
import sys

import pytest

from tests.patience import PATIENCE

WORKER = """
import asyncio, os, sys
from abe_redis import Event, EventWorker, RedisMessageQueueBackend, Settings

how, kind = sys.argv[2:]

def handle(event: Event) -> None:
    print("begins", event["n"], flush=True)
    child = os.fork()
    if not child:
        print("is a child", flush=True)
        if how == "exits":
            sys.exit(3)
        if how == "says":
            sys.exit("that is why")
        if how == "fails":
            raise LookupError("of the child")
        return
    _, status = os.waitpid(child, 0)
    print("child ended with", os.waitstatus_to_exitcode(status), flush=True)

async def handle_async(event: Event) -> None:
    handle(event)

async def main() -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=sys.argv[1])) as backend:
        for number in range(2):
            await backend.publish("slack_events", {"n": number})
        worker = EventWorker(backend, handle_async if kind == "async" else handle, concurrency=1)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(worker.run())
            while worker.handled + worker.failed < 2:
                await asyncio.sleep(0.01)
            await worker.shutdown()
        print("handled", worker.handled, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["async", "plain"])
@pytest.mark.parametrize(("how", "code"), [("exits", 3), ("says", 1), ("fails", 1), ("returns", 0)])
def test_a_child_of_a_handler_ends_with_the_handler(redis_url: str, kind: str, how: str, code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", WORKER, redis_url, how, kind],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = [
        line for number in range(2) for line in (f"begins {number}", "is a child", f"child ended with {code}")
    ]
    assert done.stdout.splitlines() == [*lines, "handled 2"]
    assert ("that is why" in done.stderr) is (how == "says")
