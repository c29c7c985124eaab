"""Scripts that fork, and what their processes published."""

import json
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tests.patience import PATIENCE

STREAM = "slack_events"
# What every script below begins with. A child ends by os._exit, as multiprocessing's do.
BEFORE = """
import asyncio, json, multiprocessing, os, sys, time
from pathlib import Path
from abe_redis import Event, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError

def say(**facts):
    os.write(1, (json.dumps(facts) + "\\n").encode())

def in_children(count, work):
    children = []
    for number in range(count):
        child = os.fork()
        if child == 0:
            try:
                work(number)
            except BaseException as error:
                say(failed=f"{type(error).__name__}: {error}")
                os._exit(1)
            os._exit(0)
        children.append(child)
    return children

def wait_for(children):
    for child in children:
        _, status = os.waitpid(child, 0)
        assert status == 0, status

async def publish(backend, name, count):
    for number in range(count):
        published = await backend.publish_event("slack_events", {"by": name, "n": number})
        assert not published.duplicate
"""


def script(text: str, *arguments: str, cwd: Path, seconds: float = PATIENCE) -> list[dict[str, Any]]:
    """Run a script to its end, and return what it and its children said."""
    code = BEFORE + textwrap.dedent(text)
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=cwd, timeout=seconds)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, (said, done.stderr)
    assert "Traceback" not in done.stderr, done.stderr
    return said


async def published(redis: Redis) -> Counter[tuple[str, int]]:
    rows: Any = await redis.xrange(STREAM)
    payloads = [json.loads(fields[b"data"]) for _, fields in rows]
    return Counter((one["by"], one["n"]) for one in payloads)
