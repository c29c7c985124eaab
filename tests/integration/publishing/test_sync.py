"""Publishing for those who are not async: from any thread, with one connection, and the same promise."""

import asyncio
import json
import pickle
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Never

import pytest
from redis import Redis

from abe_redis import Settings, SyncBackend
from abe_redis.errors import ClosedError, PayloadError, RedisUnavailableError
from tests.patience import PATIENCE
from tests.servers import Server

STREAM = "slack_events"


def numbers(server: Server) -> Counter[int]:
    with server.admin() as redis:
        rows: Any = redis.xrange(STREAM)
    return Counter(json.loads(fields["data"])["n"] for _, fields in rows)


@pytest.fixture
def sync(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("REDIS_URL", own_server.url)
    with SyncBackend.from_env() as backend:
        yield backend


def test_a_publish_is_in_redis_when_it_returns(own_server: Server, sync: SyncBackend) -> None:
    sync.publish(STREAM, {"n": 1})
    assert numbers(own_server) == Counter([1])
    published = sync.publish_event(STREAM, {"n": 2}, event_id="one")
    assert not published.duplicate
    again = sync.publish_event(STREAM, {"n": 2}, event_id="one")
    assert again.duplicate
    assert again.id == published.id
    assert [one.duplicate for one in sync.publish_many(STREAM, [{"n": 3}, {"n": 4}])] == [False, False]
    assert numbers(own_server) == Counter([1, 2, 3, 4])


def test_threads_share_one_connection(own_server: Server, sync: SyncBackend) -> None:
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda n: sync.publish(STREAM, {"n": n}), range(400)))
    assert numbers(own_server) == Counter(range(400))
    with own_server.admin() as redis:
        ours = [one for one in redis.client_list() if one["name"] == "abe-redis"]
    assert len(ours) == 1


def test_loops_that_come_and_go_do_not_matter(own_server: Server, sync: SyncBackend) -> None:
    async def handle(n: int) -> None:
        await asyncio.to_thread(sync.publish, STREAM, {"n": n})

    asyncio.run(handle(1))
    sync.publish(STREAM, {"n": 2})
    asyncio.run(handle(3))

    async def within() -> None:
        sync.publish(STREAM, {"n": 4})  # it waits for Redis, but it works

    asyncio.run(within())
    assert numbers(own_server) == Counter([1, 2, 3, 4])


def test_errors_are_the_same(own_server: Server, sync: SyncBackend) -> None:
    with pytest.raises(PayloadError):
        sync.publish(STREAM, {"n": {1}})
    own_server.stop()
    with pytest.raises(RedisUnavailableError):
        sync.publish(STREAM, {"n": 1})
    own_server.start()
    sync.publish(STREAM, {"n": 2})
    assert numbers(own_server) == Counter([2])


def test_the_outbox_keeps_what_redis_does_not_take(own_server: Server, tmp_path: Path) -> None:
    with SyncBackend(Settings(redis_url=own_server.url, redis_outbox=tmp_path / "outbox")) as backend:
        own_server.stop()
        assert backend.publish_event(STREAM, {"n": 1}).is_kept
        assert backend.outbox_size().waiting == 1
        own_server.start()
        deadline = time.monotonic() + PATIENCE
        while backend.outbox_size().waiting:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert numbers(own_server) == Counter([1])


def test_one_that_is_closed_says_so(own_server: Server, sync: SyncBackend) -> None:
    before = set(threading.enumerate())  # of which some may be those of earlier tests, and end now
    sync.publish(STREAM, {"n": 1})
    ours = set(threading.enumerate()) - before
    assert ours
    sync.close()
    sync.close()
    assert not ours & set(threading.enumerate())
    with pytest.raises(ClosedError):
        sync.publish(STREAM, {"n": 2})
    assert numbers(own_server) == Counter([1])


def test_closing_lets_what_is_under_way_end(own_server: Server) -> None:
    """Each caller hears what became of its event."""
    backend = SyncBackend(Settings(redis_url=own_server.url))
    backend.publish(STREAM, {"n": -1})
    own_server.freeze()
    with ThreadPoolExecutor(5) as pool:
        going = {n: pool.submit(backend.publish, STREAM, {"n": n}) for n in range(4)}
        closing = pool.submit(backend.close)
        own_server.thaw()
        closing.result(timeout=PATIENCE)
        added = [n for n, one in going.items() if one.exception(timeout=PATIENCE) is None]
        errors = {type(one.exception()) for one in going.values()} - {type(None)}
    assert errors <= {ClosedError}
    assert numbers(own_server) == Counter([-1, *added])


def test_it_crosses_to_another_process(own_server: Server, sync: SyncBackend) -> None:
    sync.publish(STREAM, {"n": 1})
    with pickle.loads(pickle.dumps(sync)) as other:  # noqa: S301 - our own
        other.publish(STREAM, {"n": 2})
    assert numbers(own_server) == Counter([1, 2])


class Exit(dict[str, Any]):
    """A payload that fails when it is written."""

    def items(self) -> Never:
        sys.exit(4)


def test_a_payload_that_exits_is_its_callers_failure_alone(own_server: Server, sync: SyncBackend) -> None:
    """All threads publish in one, whose event loop such an exit would end."""
    for publish in (sync.publish, sync.publish_event):
        with pytest.raises(SystemExit, match="4"):
            publish(STREAM, Exit(n=1))
    with pytest.raises(SystemExit, match="4"):
        sync.publish_many(STREAM, [{"n": 1}, Exit(n=2)])
    sync.publish(STREAM, {"n": 3})
    assert numbers(own_server) == Counter([3])


FORKING = """
import os, sys, threading
from abe_redis import SyncBackend

backend = SyncBackend.from_env()
backend.publish("slack_events", {"n": -1})
children = []
for number in range(3):
    child = os.fork()
    if child == 0:
        for n in range(20):
            backend.publish("slack_events", {"n": 100 * number + n})
        backend.close()
        os._exit(0)
    children.append(child)
for n in range(20):
    backend.publish("slack_events", {"n": 900 + n})
for child in children:
    _, status = os.waitpid(child, 0)
    assert status == 0, status
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="this system has no forks")
def test_a_forked_process_publishes_as_itself(
    own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under `gunicorn --preload`: the thread that did it before the fork is not in the child."""
    monkeypatch.setenv("REDIS_URL", own_server.url)
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(FORKING)],
        check=False, capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    expected = [100 * child + n for child in (0, 1, 2, 9) for n in range(20)]
    assert numbers(own_server) == Counter([-1, *expected])


FORGETFUL = """
import sys
from abe_redis import Settings, SyncBackend
backend = SyncBackend(Settings(redis_url=sys.argv[1], redis_outbox=sys.argv[2] or None))
backend.publish("slack_events", {"n": 1})
"""


@pytest.mark.parametrize("outbox", ["", "outbox.db"])
def test_a_program_that_forgets_to_close_it_ends(own_server: Server, tmp_path: Path, outbox: str) -> None:
    done = subprocess.run(
        [
            *(sys.executable, "-W", "error", "-c"),
            FORGETFUL,
            own_server.url,
            outbox,
        ],
        check=False, capture_output=True, text=True, cwd=tmp_path, timeout=PATIENCE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert numbers(own_server) == Counter([1])


@pytest.mark.one_server
def test_a_client_of_redis_is_not_needed_to_look(redis_url: str) -> None:
    """What it published is what an async back end publishes."""
    with SyncBackend(Settings(redis_url=redis_url)) as backend:
        backend.publish(STREAM, {"n": 1})
    with Redis.from_url(redis_url) as redis:
        (row,) = redis.xrange(STREAM)
    assert row[1] == {b"data": b'{"n":1}'}
