"""Real servers in the states in which they refuse, for a while, what they do otherwise."""

import contextlib
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import redis

from tests.patience import PATIENCE
from tests.servers import ADMIN, Server

type State = Callable[[Server], contextlib.AbstractContextManager[None]]


@contextmanager
def out_of_memory(server: Server) -> Iterator[None]:
    """OOM: above its maxmemory, and nothing may be evicted."""
    with _configured(server, "maxmemory", "1", "0"):
        yield


@contextmanager
def without_replicas(server: Server) -> Iterator[None]:
    """NOREPLICAS."""
    with _configured(server, "min-replicas-to-write", "1", "0"):
        yield


@contextmanager
def unable_to_save(server: Server) -> Iterator[None]:
    """MISCONF: its last snapshot failed."""
    dump = server.directory / "dump.rdb"
    dump.unlink(missing_ok=True)
    (dump / "in-the-way").mkdir(parents=True)  # which no file can replace
    with server.admin() as admin:
        admin.config_set("save", "3600 1")
        admin.bgsave()
        _wait(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "err")
        try:
            yield
        finally:
            shutil.rmtree(dump)
            admin.bgsave()
            _wait(lambda: admin.info("persistence")["rdb_last_bgsave_status"] == "ok")


@contextmanager
def busy(server: Server) -> Iterator[None]:
    """BUSY: a script that does not end."""

    def run() -> None:
        with server.admin() as client, contextlib.suppress(redis.RedisError):
            client.eval("while true do end", 0)

    with server.admin() as admin:
        admin.config_set("busy-reply-threshold", "10")
        script = threading.Thread(target=run)
        script.start()
        _wait(lambda: _answer(admin, "PING").startswith("BUSY"))
        try:
            yield
        finally:
            # The client of the script may have gone, as after its time-out: the script runs on all the same.
            _wait(
                lambda: bool(_answer(admin, "SCRIPT", "KILL")) and _answer(admin, "PING") in {"True", "PONG"}
            )
            admin.config_set(
                "busy-reply-threshold", "5000"
            )  # a slow machine's own scripts are not in the way
            script.join()


@contextmanager
def read_only(server: Server) -> Iterator[None]:
    """READONLY: a replica of a server that is not there."""
    with server.admin() as admin:
        admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            yield
        finally:
            admin.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def cut_off(server: Server) -> Iterator[None]:
    """MASTERDOWN: the same, and it says nothing that may be old."""
    with _configured(server, "replica-serve-stale-data", "no", "yes"), read_only(server):
        yield


@contextmanager
def crowded(server: Server) -> Iterator[None]:
    """ERR max number of clients reached, for all who come."""
    with server.admin() as admin:
        before = admin.config_get("maxclients")["maxclients"]
        admin.config_set("maxclients", "1")
        admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        try:
            yield
        finally:
            admin.config_set("maxclients", before)


@contextmanager
def loading(server: Server) -> Iterator[None]:
    """LOADING: it reads its data anew, each key slowly; the server needs `MAY_LOAD`."""

    def reload() -> None:
        with redis.Redis(**_UNHURRIED, unix_socket_path=str(server.socket)) as client:
            client.execute_command("DEBUG", "RELOAD")

    with server.admin() as admin:
        admin.execute_command("DEBUG", "POPULATE", "50000", "filler", "64")
        admin.config_set("loading-process-events-interval-bytes", "1024")
        admin.config_set("key-load-delay", "1000")
        thread = threading.Thread(target=reload)
        thread.start()
        _wait(lambda: "loading" in _answer(admin, "EXISTS", "filler:1"))
        try:
            yield
            assert "loading" in _answer(admin, "EXISTS", "filler:1"), "it was over too soon"
        finally:
            admin.config_set("key-load-delay", "0")
            thread.join()


MAY_LOAD = {"enable-debug-command": "yes"}
"""The options of a server that can be made to load its data anew."""
_UNHURRIED: Any = {"username": ADMIN, "password": ADMIN, "socket_timeout": None}

STATES: dict[str, State] = {
    "LOADING": loading,
    "OOM": out_of_memory,
    "NOREPLICAS": without_replicas,
    "MISCONF": unable_to_save,
    "BUSY": busy,
    "READONLY": read_only,
    "MASTERDOWN": cut_off,
    "max number of clients": crowded,
}


@contextmanager
def _configured(server: Server, name: str, during: str, after: str) -> Iterator[None]:
    with server.admin() as admin:
        admin.config_set(name, during)
        try:
            yield
        finally:
            admin.config_set(name, after)


def _answer(client: redis.Redis, *words: str) -> str:
    try:
        answer: Any = client.execute_command(*words)  # type: ignore[no-untyped-call, unused-ignore]
        return str(answer)
    except redis.RedisError as error:
        return str(error)


def _wait(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "the server does not get into the state, or out of it"
        time.sleep(0.01)
