"""One run: a server, publishers, workers, faults by a seed, and the account at the end."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import IO

import redis

from tests.chaos import log
from tests.chaos.account import Account
from tests.chaos.actors import CHILD, GROUP, ORDERED_GROUP, STREAMS
from tests.chaos.checker import violations
from tests.chaos.faults import CLOCK_STEPS, DELETE_IF_DRAINED, is_alive, schedule
from tests.chaos.history import Group, History, Left, Outage, Record, Violation
from tests.chaos.proxy import Proxy
from tests.clocks import SteppedServer, stepped_if_possible
from tests.patience import whole_lines

LEASE_SECONDS = 1.5
LONG_LEASE_SECONDS = 4.0
"""That of every third worker: leases are mixed, as while a setting is rolled out."""
RECONNECT_SECONDS = 1.5
"""How soon one who lost the server has it back, on a machine that is busy."""
ROOT = Path(__file__).parents[2]


class Run:
    """A run on a server of its own."""

    def __init__(self, binary: Path, *, seed: int, events: int, seconds: float, naive: bool = False) -> None:
        self._server = stepped_if_possible(binary, persistent=True)
        self._seed, self._events, self._seconds, self._naive = seed, events, seconds, naive
        self._directory = Path(tempfile.mkdtemp(prefix="abe-redis-chaos-"))
        self._workers: list[subprocess.Popen[bytes]] = []
        self._names: dict[int, str] = {}
        """By process id, under which name a worker writes its history."""
        self._groups = [GROUP] if naive else [GROUP, ORDERED_GROUP]
        self._history = History({GROUP: Group(False, 99), ORDERED_GROUP: Group(True, 99)}, {}, in_order=False)
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
            if not self._naive:
                for _ in range(2):
                    self._start_worker("ordered-worker")
            publishers = self._start_publishers()
            stack.callback(self._signal, publishers, signal.SIGKILL)
            await self._wait_for_work(publishers)
            await self._break_things()
            await asyncio.to_thread(publishers.wait, 120)
            await self._settle()
            self._end_workers()
            await self._look()
        if not self._naive:
            self._account.violations = self._check()
        self._account.seconds = time.monotonic() - began
        if not self._account.lost and not self._account.violations:
            shutil.rmtree(self._directory)
        return self._account

    def _start(self, role: str, name: str, *numbers: int) -> subprocess.Popen[bytes]:
        with (self._directory / f"{name}.log").open("wb") as file:
            return self._popen(role, name, numbers, file)

    def _popen(
        self, role: str, name: str, numbers: tuple[int, ...], file: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.actors", role, self._directory / name, *map(str, numbers)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
            | {
                "REDIS_URL": f"redis://127.0.0.1:{self._proxy.port}/0",
                "REDIS_STREAM_LEASE_SECONDS": str(self._lease_of(name)),
                "REDIS_STREAM_MAX_DELIVERIES": "1000",
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=file,
            start_new_session=True,
        )

    def _start_publishers(self) -> subprocess.Popen[bytes]:
        """Start two, of which one is forked from the other."""
        each = self._events // 2
        return self._start("forked-publisher", "accepted-0", self._seed, each, int(each / self._seconds) + 1)

    def _lease_of(self, name: str) -> float:
        """The lease of a process: every third worker's is long."""
        number = int(name.rpartition("-")[2])
        return LONG_LEASE_SECONDS if number % 3 == 0 and not name.startswith("accepted") else LEASE_SECONDS

    def _start_worker(self, role: str = "worker", *, forked: bool = False) -> None:
        self._started += 1
        name = f"{'ordered' if role == 'ordered-worker' else 'processed'}-{self._started}"
        seed = self._seed + self._started
        if forked and not self._naive:
            worker = self._start("forked-worker", name, seed, int(role == "ordered-worker"))
        else:
            worker = self._start("naive" if self._naive else role, name, seed)
        self._names[worker.pid] = name
        self._workers.append(worker)

    def _role(self, worker: subprocess.Popen[bytes]) -> str:
        return "ordered-worker" if self._names[worker.pid].startswith("ordered") else "worker"

    def _away(self, began: float) -> None:
        """Note that all were without the server from then until now, and a little longer."""
        self._history.outages.append(Outage("", began, time.monotonic() + RECONNECT_SECONDS))

    def _kill(self, worker: subprocess.Popen[bytes]) -> None:
        """Kill a worker, and the one that is forked from it."""
        self._signal(worker, signal.SIGKILL)
        worker.wait()
        name = self._names[worker.pid]
        self._workers.remove(worker)
        for one in (name, f"{name}{CHILD}"):
            self._history.note(Record(time.monotonic(), "gone", one))

    def _end_workers(self) -> None:
        for worker in list(self._workers):
            self._kill(worker)

    async def _wait_for_work(self, publishers: subprocess.Popen[bytes]) -> None:
        """Wait until workers work: what is done to one that has not begun breaks nothing.

        Publishers that have begun stand still until then, so that most of the work is yet to come.
        """
        async with asyncio.timeout(120):
            while not self._account.processed:
                await asyncio.sleep(0.05)
                self._read_books()
                if self._account.accepted:
                    self._signal(publishers, signal.SIGSTOP)
        self._signal(publishers, signal.SIGCONT)

    @staticmethod
    def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
        """Send a signal to a process and to what was forked from it, unless all have ended."""
        with suppress(ProcessLookupError):
            os.killpg(process.pid, number)

    async def _break_things(self) -> None:
        began = time.monotonic()
        for at, kind, number in schedule(self._seed, self._seconds):
            await asyncio.sleep(max(0, began + at - time.monotonic()))
            self._account.faults[kind] += 1
            await self._break(kind, number)

    async def _break(self, kind: str, number: int) -> None:
        worker, began = self._workers[number % len(self._workers)], time.monotonic()
        match kind:
            case "kill a worker" | "fork a worker":
                self._kill(worker)
                self._start_worker(self._role(worker), forked=kind == "fork a worker")
            case "freeze a worker beyond its lease":
                name = self._names[worker.pid]
                self._signal(worker, signal.SIGSTOP)
                await asyncio.sleep(self._lease_of(name) * 1.5)
                self._signal(worker, signal.SIGCONT)
                now = time.monotonic()
                self._history.outages += [Outage(one, began, now) for one in (name, f"{name}{CHILD}")]
            case "set the server's clock":
                self._step_clock(CLOCK_STEPS[number % len(CLOCK_STEPS)])
            case "delete the group" | "delete a consumer" | "delete a drained stream":
                await self._delete(kind, number)
            case _:
                await self._break_server(kind, number)
                self._away(began)

    def _step_clock(self, seconds: int) -> None:
        """Set the server's clock. Ahead, it ends leases early; back, it takes nothing from anybody."""
        if not isinstance(self._server, SteppedServer):
            return
        now = time.monotonic()
        self._server.step(seconds)
        if seconds > 0:
            self._history.outages.append(Outage("", now - LONG_LEASE_SECONDS, now + LONG_LEASE_SECONDS))

    async def _break_server(self, kind: str, number: int) -> None:
        """Take the server away from everybody, or everybody from the server."""
        match kind:
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

    async def _delete(self, kind: str, number: int) -> None:
        """Remove what somebody else still needs."""
        now = time.monotonic()
        match kind:
            case "delete the group":
                stream, group = STREAMS[number % len(STREAMS)], self._groups[number % len(self._groups)]
                with self._server.admin() as admin:
                    if admin.exists(stream):
                        admin.xgroup_destroy(stream, group)
                self._history.note(Record(now, "destroyed", group=group, stream=stream))
            case "delete a consumer":
                await self._delete_consumer(number)
            case "delete a drained stream":
                with self._server.admin() as admin:
                    if admin.eval(DELETE_IF_DRAINED, 1, "slack:drained", *self._groups):
                        for group in self._groups:
                            self._history.note(Record(now, "destroyed", group=group, stream="slack:drained"))

    async def _delete_consumer(self, number: int) -> None:
        """Remove a consumer with what is pending for it, and give it the time to notice."""
        stream, group = STREAMS[number % len(STREAMS)], self._groups[number % len(self._groups)]
        with self._server.admin() as admin:
            try:
                holders = [one["name"] for one in admin.xpending(stream, group)["consumers"]]
            except redis.ResponseError:  # neither is there now
                return
            if live := [name for name in holders if is_alive(name)]:
                admin.xgroup_delconsumer(stream, group, live[number % len(live)])
                self._history.note(Record(time.monotonic(), "dropped", group=group))
        await asyncio.sleep(LONG_LEASE_SECONDS)

    def _read_books(self) -> None:
        self._account.accepted = {number for book in self._books("accepted") for number in book}
        self._account.processed = Counter(number for book in self._books("processed") for number in book)

    def _books(self, kind: str) -> list[list[int]]:
        paths = [path for path in self._directory.glob(f"{kind}-*") if not path.suffix]
        return [[int(line.split()[0]) for line in whole_lines(path)] for path in paths]

    async def _settle(self) -> None:
        """Wait until everything is processed, or nothing was for a long time."""
        patience = 2 * LEASE_SECONDS + 2 if self._naive else 30
        last, since = (-1, -1), time.monotonic()
        while time.monotonic() - since < patience:
            self._read_books()
            now = len(self._account.processed), self._pending()
            if now != last:
                last, since = now, time.monotonic()
            if not self._account.lost and now[1] == 0:
                return
            await asyncio.sleep(0.1)

    def _check(self) -> list[Violation]:
        """What the history of all processes says against the promise."""
        history = self._history
        history.records += list(log.read(self._directory))
        history.leases = {
            record.process: self._lease_of(record.process) for record in history.records if record.process
        }
        return violations(history)

    def _pending(self) -> int:
        """How many entries some group was not given yet, or has not finished.

        A group that was destroyed, and that nobody has made again yet, has at least one; so has one of which
        Redis does not know how many.
        """
        with self._server.admin() as admin:
            found: list[dict[str, dict[str, int | None]]] = [
                {group["name"]: group for group in admin.xinfo_groups(stream)}
                for stream in STREAMS
                if admin.exists(stream)
            ]
        theirs = [groups.get(name) for groups in found for name in self._groups]
        pending = sum(group["pending"] or 0 for group in theirs if group)
        if self._naive:
            return pending
        lags = [group["lag"] if group else None for group in theirs]
        return pending + sum(1 if lag is None else lag for lag in lags)

    async def _look(self) -> None:
        """What is left in the server once the last worker is gone and another has swept."""
        self._read_books()
        account = self._account
        account.pending = self._pending()
        with self._server.admin() as admin:
            account.dead_letters = sum(admin.xlen(f"dead:{{{stream}}}") for stream in STREAMS)
            for key in admin.scan_iter():
                ours = key in STREAMS or key in {"abe:streams", "abe:audit"} or key.startswith("abe:groups:")
                if not ours and admin.ttl(key) < 0:
                    account.stray_keys.append(key)
            if not self._naive:
                for group in self._groups:
                    lost = {
                        stream: int(admin.hget(f"abe:groups:{{{stream}}}", f"lost {group}") or 0)
                        for stream in STREAMS
                    }
                    self._history.left[group] = Left(lost=lost)
                account.orphans = await self._orphans(admin)

    async def _orphans(self, admin: redis.Redis) -> int:
        """How many consumers are left when a new one has had the time to forget them."""
        self._start_worker()
        # A consumer is forgotten after ten of its own leases.
        until = time.monotonic() + 20 * LONG_LEASE_SECONDS
        while time.monotonic() < until:
            orphans = [
                max(0, group["consumers"] - 1)
                for stream in STREAMS
                if admin.exists(stream)
                for group in admin.xinfo_groups(stream)
                if group["name"] == GROUP
            ]
            if not any(orphans):
                return 0
            await asyncio.sleep(0.2)
        return sum(orphans)
