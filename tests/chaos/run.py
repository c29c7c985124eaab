"""One run: a server, publishers, workers, faults by a seed, and the account at the end."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import redis

from tests.chaos.actors import GROUP, STREAMS
from tests.chaos.proxy import Proxy
from tests.servers import Server

LEASE_SECONDS = 1.5
ROOT = Path(__file__).parents[2]

FAULTS = {
    "kill a worker": 4,
    "freeze a worker beyond its lease": 3,
    "cut connections": 4,
    "cut answers in the middle": 4,
    "reset connections": 3,
    "restart the server": 2,
    "freeze the server": 2,
    "delete the group": 2,
    "delete a drained stream": 4,
}
"""Kinds of fault, by how often they come."""

_DELETE_IF_DRAINED = """
local groups = redis.pcall('XINFO', 'GROUPS', KEYS[1])
for _, row in ipairs(groups.err and {} or groups) do
  local of = {}
  for i = 1, #row, 2 do of[row[i]] = row[i + 1] end
  local drained = of["pending"] == 0 and of["lag"] == 0
  if of["name"] == ARGV[1] and drained then return redis.call("DEL", KEYS[1]) end
end
return 0
"""


def schedule(seed: int, seconds: float) -> list[tuple[float, str, int]]:
    """When which fault happens, and to which worker: the same for the same seed."""
    chance = random.Random(seed)
    faults, at = [], 0.5
    while at < seconds:
        (kind,) = chance.choices(list(FAULTS), list(FAULTS.values()))
        faults.append((at, kind, chance.randrange(1000)))
        at += chance.uniform(0.3, 1.2)
    return faults


@dataclass
class Account:
    """What came of a run."""

    accepted: set[int] = field(default_factory=set)
    processed: Counter[int] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    dead_letters: int = 0
    pending: int = 0
    orphans: int = 0
    stray_keys: list[str] = field(default_factory=list)
    seconds: float = 0

    @property
    def lost(self) -> set[int]:
        return self.accepted - set(self.processed)

    @property
    def repeated(self) -> int:
        return sum(count - 1 for count in self.processed.values())


class Run:
    """A run on a server of its own."""

    def __init__(self, binary: Path, *, seed: int, events: int, seconds: float, naive: bool = False) -> None:
        self._server = Server(binary, persistent=True)
        self._seed, self._events, self._seconds, self._naive = seed, events, seconds, naive
        self._directory = Path(tempfile.mkdtemp(prefix="abe-redis-chaos-"))
        self._workers: list[subprocess.Popen[bytes]] = []
        self._started = 0
        self._account = Account()

    async def play(self) -> Account:
        """Play it to its end."""
        began = time.monotonic()
        async with AsyncExitStack() as stack:
            stack.enter_context(self._server)
            self._proxy = await stack.enter_async_context(Proxy(self._server.port))
            stack.callback(self._end_workers)
            for _ in range(3):
                self._start_worker()
            publishers = [self._start_publisher(number) for number in range(2)]
            for publisher in publishers:
                stack.callback(publisher.kill)
            await self._wait_for_work()
            await self._break_things()
            for publisher in publishers:
                await asyncio.to_thread(publisher.wait, 120)
            await self._settle()
            self._end_workers()
            await self._look()
        self._account.seconds = time.monotonic() - began
        if not self._account.lost:
            shutil.rmtree(self._directory)
        return self._account

    def _start(self, role: str, name: str, *numbers: int) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("wb") as log:
            return self._popen(role, name, numbers, log)

    def _popen(
        self, role: str, name: str, numbers: tuple[int, ...], log: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.actors", role, self._directory / name, *map(str, numbers)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
            | {
                "REDIS_URL": f"redis://127.0.0.1:{self._proxy.port}/0",
                "REDIS_STREAM_LEASE_SECONDS": str(LEASE_SECONDS),
                "REDIS_STREAM_MAX_DELIVERIES": "1000",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=log,
        )

    def _start_publisher(self, number: int) -> subprocess.Popen[bytes]:
        each = self._events // 2
        return self._start(
            "publisher",
            f"accepted-{number}",
            self._seed + number,
            number * each,
            each,
            int(each / self._seconds) + 1,
        )

    def _start_worker(self) -> None:
        self._started += 1
        role = "naive" if self._naive else "worker"
        self._workers.append(self._start(role, f"processed-{self._started}", self._seed + self._started))

    def _end_workers(self) -> None:
        for worker in self._workers:
            worker.send_signal(signal.SIGCONT)
            worker.kill()
            worker.wait()
        self._workers.clear()

    async def _wait_for_work(self) -> None:
        """Wait until workers work: what is done to one that has not begun breaks nothing."""
        async with asyncio.timeout(120):
            while not self._account.processed:
                await asyncio.sleep(0.05)
                self._read_books()

    async def _break_things(self) -> None:
        began = time.monotonic()
        for at, kind, number in schedule(self._seed, self._seconds):
            await asyncio.sleep(max(0, began + at - time.monotonic()))
            self._account.faults[kind] += 1
            await self._break(kind, number)

    async def _break(self, kind: str, number: int) -> None:
        worker = self._workers[number % len(self._workers)]
        match kind:
            case "kill a worker":
                worker.kill()
                worker.wait()
                self._workers.remove(worker)
                self._start_worker()
            case "freeze a worker beyond its lease":
                worker.send_signal(signal.SIGSTOP)
                await asyncio.sleep(LEASE_SECONDS * 1.5)
                worker.send_signal(signal.SIGCONT)
            case "cut connections":
                with self._server.admin() as admin:
                    admin.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            case "cut answers in the middle":
                self._proxy.cut_answers(1 + number % 5)
            case "reset connections":
                self._proxy.reset()
            case "restart the server":
                await asyncio.to_thread(self._server.restart)
            case "freeze the server":
                self._server.freeze()
                await asyncio.sleep(0.5)
                self._server.thaw()
            case "delete the group":
                with self._server.admin() as admin:
                    if admin.exists(stream := STREAMS[number % len(STREAMS)]):
                        admin.xgroup_destroy(stream, GROUP)
            case "delete a drained stream":
                with self._server.admin() as admin:
                    admin.eval(_DELETE_IF_DRAINED, 1, "slack:drained", GROUP)

    def _read_books(self) -> None:
        self._account.accepted = {number for book in self._books("accepted") for number in book}
        self._account.processed = Counter(number for book in self._books("processed") for number in book)

    def _books(self, kind: str) -> list[list[int]]:
        paths = [path for path in self._directory.glob(f"{kind}-*") if path.suffix != ".log"]
        return [[int(line.split()[0]) for line in path.read_text().splitlines()] for path in paths]

    async def _settle(self) -> None:
        """Wait until everything is processed, or nothing was for a long time."""
        patience = 2 * LEASE_SECONDS + 2 if self._naive else 30
        last, since = -1, time.monotonic()
        while time.monotonic() - since < patience:
            self._read_books()
            done = len(self._account.processed)
            if done != last:
                last, since = done, time.monotonic()
            if not self._account.lost and self._pending() == 0:
                return
            await asyncio.sleep(0.1)

    def _pending(self) -> int:
        with self._server.admin() as admin:
            return sum(
                group["pending"]
                for stream in STREAMS
                if admin.exists(stream)
                for group in admin.xinfo_groups(stream)
            )

    async def _look(self) -> None:
        """What is left in the server once the last worker is gone and another has swept."""
        self._read_books()
        account = self._account
        account.pending = self._pending()
        with self._server.admin() as admin:
            account.dead_letters = sum(admin.xlen(f"dead:{{{stream}}}") for stream in STREAMS)
            for key in admin.scan_iter():
                ours = key in STREAMS or key == "abe:streams" or key.startswith("abe:groups:")
                if not ours and admin.ttl(key) < 0:
                    account.stray_keys.append(key)
            if not self._naive:
                account.orphans = await self._orphans(admin)

    async def _orphans(self, admin: redis.Redis) -> int:
        """How many consumers are left when a new one has had the time to forget them."""
        self._start_worker()
        until = time.monotonic() + 20 * LEASE_SECONDS
        while time.monotonic() < until:
            left = [len(admin.xinfo_consumers(stream, GROUP)) for stream in STREAMS if admin.exists(stream)]
            if all(count <= 1 for count in left):
                return 0
            await asyncio.sleep(0.2)
        return sum(left) - len(left)
