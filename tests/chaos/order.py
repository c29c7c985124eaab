"""`python -m tests.chaos.order`: is the order of each conversation kept when workers die, join and freeze?

Conversations of numbered events are published over partitions. Ordered workers in processes of their own
handle them, some the second time only; one is killed, one is frozen for longer than its lease, and one
joins. What counts is the handlers' own log.
"""

import argparse
import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from rich.table import Table

from abe_redis import RedisMessageQueueBackend, Settings
from tests.chaos import log
from tests.chaos.actors import GROUP
from tests.chaos.checker import violations
from tests.chaos.history import Group, History, Outage, Record, Violation
from tests.chaos.shown import show
from tests.patience import PATIENCE, whole_lines
from tests.server_binaries import any_binary
from tests.servers import Server

LEASE_SECONDS = 2
PARTITIONS = 16
ROOT = Path(__file__).parents[2]
MOST = 10_000
"""Events in a conversation; the number of an event is that of its conversation times this, and its place."""


@dataclass
class Account:
    """What the handlers wrote down."""

    published: int = 0
    violations: list[Violation] = field(default_factory=list)
    """What the history says against the promise."""
    finished: dict[int, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    """By the number of each event, when a handler began with it and when it had finished it."""

    @property
    def repeated(self) -> int:
        """How many events were finished more than once."""
        return sum(len(times) > 1 for times in self.finished.values())

    @property
    def out_of_order(self) -> list[tuple[int, int]]:
        """Neighbours in a conversation of which the later one was finished first."""
        first = {number: min(end for _, end in times) for number, times in self.finished.items()}
        return [
            (one, other)
            for one, other in pairwise(sorted(first))
            if one // MOST == other // MOST and first[one] > first[other]
        ]

    @property
    def at_the_same_time(self) -> int:
        """How often two events of a conversation were with handlers at once."""
        spans: dict[int, list[tuple[float, float]]] = defaultdict(list)
        for number, times in self.finished.items():
            spans[number // MOST] += times
        return sum(one[1] > other[0] for times in spans.values() for one, other in pairwise(sorted(times)))


class Run:
    """Ordered workers on one server."""

    def __init__(
        self,
        server: Server,
        *,
        conversations: int,
        events: int,
        freeze: bool,
        workers: int = 4,
        ordered: bool = True,
    ) -> None:
        self._url = server.url
        self._conversations = conversations
        self._events = events
        self._workers = workers
        self._freeze = freeze
        self._ordered = ordered
        self._directory = Path(tempfile.mkdtemp(prefix="abe-redis-order-"))
        self._started = 0
        self._history = History({GROUP: Group(ordered, 99)}, {})

    def play(self) -> Account:
        """Play it to its end."""
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self._directory, ignore_errors=True)
            workers = [self._start(stack) for _ in range(self._workers)]
            asyncio.run(self._publish())
            self._wait(self._conversations * self._events // 4)
            workers[0].kill()
            workers[0].wait()
            self._history.note(Record(time.monotonic(), "gone", "book-1"))
            began = time.monotonic()
            if self._freeze:
                workers[1].send_signal(signal.SIGSTOP)
            self._start(stack)
            if self._freeze:
                time.sleep(2 * LEASE_SECONDS)
                workers[1].send_signal(signal.SIGCONT)
                self._history.outages.append(Outage("book-2", began, time.monotonic()))
            self._wait(self._conversations * self._events)
            for worker in workers[1:]:
                worker.terminate()
            for worker in workers[1:]:
                worker.wait(PATIENCE)
            account = self._read()
            account.published = self._conversations * self._events
            self._history.records += log.read(self._directory)
            processes = {record.process for record in self._history.records}
            self._history.leases = dict.fromkeys(processes, LEASE_SECONDS)
            account.violations = violations(self._history)
            return account

    def _start(self, stack: ExitStack) -> subprocess.Popen[bytes]:
        self._started += 1
        log = stack.enter_context((self._directory / f"log-{self._started}").open("wb"))
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.chaos.actors", "talker"),
                *(
                    str(self._directory / f"book-{self._started}"),
                    str(self._started),
                    str(int(self._ordered)),
                ),
            ],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if not name.startswith("REDIS_")}
            | {"REDIS_URL": self._url, "REDIS_STREAM_LEASE_SECONDS": str(LEASE_SECONDS)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        return process

    async def _publish(self) -> None:
        settings = Settings(redis_url=self._url, redis_stream_partitions=PARTITIONS)
        async with RedisMessageQueueBackend(settings) as backend:
            for number in range(self._events):
                added = await backend.publish_many(
                    "slack_events",
                    [
                        {
                            "type": "event_callback",
                            "team_id": "T1",
                            "event": {"channel": f"C{at}", "n": at * MOST + number},
                        }
                        for at in range(self._conversations)
                    ],
                )
                for at, one in enumerate(added):
                    event, conversation = str(at * MOST + number), f"{one.stream} C{at}"
                    self._history.note(
                        Record(
                            *(time.monotonic(), "accepted", "publisher"),
                            event=event,
                            stream=one.stream,
                            conversation=conversation,
                        )
                    )

    def _wait(self, events: int) -> Account:
        """Wait until so many events were handled, or none is any more."""
        handled, since = 0, time.monotonic()
        while len((account := self._read()).finished) < events:
            if len(account.finished) > handled:
                handled, since = len(account.finished), time.monotonic()
            if time.monotonic() > since + PATIENCE:
                raise AssertionError(f"{len(account.finished)} of {events} events were handled.")
            time.sleep(0.1)
        return account

    def _read(self) -> Account:
        account = Account()
        for book in self._directory.glob("book-*[0-9]"):
            for line in whole_lines(book):
                number, ended, began = line.split()
                account.finished[int(number)].append((float(began), float(ended)))
        return account


def main() -> int:
    """Play it without and with a worker that freezes, and print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--conversations", type=int, default=200)
    parser.add_argument("--events", type=int, default=50, help="per conversation")
    parser.add_argument("--workers", type=int, default=4)
    options = parser.parse_args()
    binary = any_binary()
    if binary is None:
        parser.error("there is no server's program on this system")
    columns = ("what happened", "events", "lost", "repeated", "out of order", "at the same time", "broken")
    table = Table(*columns)
    failed = False
    for freeze in (False, True):
        with Server(binary) as server:
            account = Run(server, **vars(options), freeze=freeze).play()
        failed |= (
            bool(account.out_of_order or account.violations) or len(account.finished) < account.published
        )
        what = "one killed, one frozen, one added" if freeze else "one killed, one added"
        counts = (
            account.published,
            account.published - len(account.finished),
            account.repeated,
            len(account.out_of_order),
            account.at_the_same_time,
            len(account.violations),
        )
        table.add_row(what, *(f"{count:,}" for count in counts))
        for violation in account.violations[:5]:
            sys.stdout.write(f"{what}: [{violation.rule}] {violation.sentence}\n")
    show(table)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
