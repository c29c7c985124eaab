"""An outbox whose disk is full: what it holds still leaves it, and then there is room again."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from abe_redis.errors import OutboxFullError
from abe_redis.publishing import outbox_delivery
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.streams.publish import publish
from tests.integration.conftest import until
from tests.integration.publishing.outboxes import MakeQueue, _impatient, emptied, entries, make_queue, path
from tests.integration.publishing.small_disks import command, linux_only, run
from tests.patience import PATIENCE
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]

_EMPTIED = """
size, is_new_process = int(sys.argv[2]), sys.argv[3] == "restarted"
outbox = OutboxFile(path)
for again in range(3):
    kept, taken = fill(outbox, size), []
    fill_the_rest()
    assert outbox.size().waiting == len(kept) > 1, (again, kept)
    if is_new_process:
        outbox.forsake()
        outbox = OutboxFile(path)
    empty(outbox, outbox.claim, taken.extend)
    assert sorted(taken) == kept
    assert outbox.size().waiting == 0
    (place / "others").unlink()
print("held")
"""


@linux_only
@pytest.mark.parametrize("process", ["the same", "restarted"])
@pytest.mark.parametrize("size", [2_000, 100_000])
def test_what_a_full_disk_holds_leaves_it_and_makes_room(tmp_path: Path, size: int, process: str) -> None:
    run(tmp_path, _EMPTIED, str(size), process)


_REFUSED = """
outbox = OutboxFile(path)
for _ in range(100):
    outbox.append(row(1_000))
held = reserve.stat().st_size
assert fill(outbox, 1_500_000) == [], "this disk has no room for that"
assert reserve.stat().st_size == held, "an event that is refused takes nothing"
fill(outbox, 1_000, growth=1)
fill_the_rest()
held = reserve.stat().st_size
for size in (10, 1_000, 10_000, 300_000):
    fill(outbox, size)
assert reserve.stat().st_size == held, "an event that is refused takes nothing"
print("held")
"""


@linux_only
def test_events_that_are_refused_leave_the_reserved_room(tmp_path: Path) -> None:
    run(tmp_path, _REFUSED)


_STARTED = """
end = sys.argv[2]

def start_and_end():
    if os.fork():
        assert os.wait()[1] == 0
        return
    another = OutboxFile(path)
    try:
        another.check()
    except OutboxFullError:
        pass
    another.claim()
    assert another.size().waiting >= len(kept)
    fill(another, 10)
    if end == "closed":
        another.close()
    os._exit(0)

outbox = OutboxFile(path)
kept = fill(outbox, 2_000)
fill_the_rest()
held = reserve.stat().st_size
for _ in range(3):
    start_and_end()
    assert reserve.stat().st_size == held, "a start takes nothing"
taken = []
empty(outbox, outbox.claim, taken.extend)
assert set(taken) >= set(kept)
assert outbox.size().waiting == 0
assert reserve.stat().st_size >= LEAST_BYTES, "the room is reserved again"
print("held")
"""


@linux_only
@pytest.mark.parametrize("end", ["closed", "killed"])
def test_a_process_that_starts_on_a_full_disk_leaves_the_reserved_room(tmp_path: Path, end: str) -> None:
    run(tmp_path, _STARTED, end)


_NOBODY_LEFT = """
outbox = OutboxFile(path)
kept, taken = [outbox.append(row(2_000)) for _ in range(100)], []
outbox.close()
assert not (place / "outbox.db-shm").exists(), "SQLite needs room to make it again"
fill_the_rest()
held = reserve.stat().st_size
outbox = OutboxFile(path)
for _ in range(3):
    try:
        outbox.claim()
    except OutboxFullError:
        pass
    else:
        raise AssertionError("this disk has room")
    assert reserve.stat().st_size == held
empty(outbox, outbox.claim_on_full_disk, taken.extend)
assert taken == kept
assert reserve.stat().st_size >= LEAST_BYTES
print("held")
"""


@linux_only
def test_an_outbox_that_nobody_has_open_is_emptied_on_a_full_disk(tmp_path: Path) -> None:
    run(tmp_path, _NOBODY_LEFT)


_READ = """
import sqlite3

from abe_redis.errors import OutboxError
from abe_redis.publishing import outbox_emptying

outbox_emptying._LOG_SECONDS = 0.05
outbox, another = OutboxFile(path), OutboxFile(path)  # while one has it open, SQLite keeps the log
kept, taken = fill(outbox, 2_000), []
fill_the_rest()
(writer,) = outbox.claim()
another.size()
held = reserve.stat().st_size
for _ in range(10):
    reader = sqlite3.connect(path, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM event").fetchone()
    taken += [one.number for one in outbox.first(writer).rows[:10]]
    try:
        outbox.settle(writer, taken[-10:], {})
    except OutboxError as error:
        assert "in use" in str(error), error
    reader.close()
assert reserve.stat().st_size > held - 64 * 1024, "the room does not get less with each try"
empty(outbox, outbox.claim_on_full_disk, taken.extend)
assert sorted(set(taken)) == kept
assert outbox.size().waiting == 0
print("held")
"""


@linux_only
def test_somebody_who_reads_the_outbox_at_each_try_leaves_the_reserved_room(tmp_path: Path) -> None:
    run(tmp_path, _READ)


_KILLED = """
import json
from abe_redis.publishing.outbox_reserve import Reserve

last = steps = 0  # the last step of a process, and its steps so far

def step():
    global steps
    steps += 1
    if steps == last:
        os._exit(9)

def counted(method):
    def call(*args, **kwargs):
        step()
        result = method(*args, **kwargs)
        step()
        return result
    return call

for owner, name in [(Reserve, "give_up"), (Reserve, "restore"), (OutboxFile, "_empty_log"),
                    (OutboxFile, "_transaction"), (OutboxFile, "settle")]:
    setattr(owner, name, counted(getattr(owner, name)))

def empty_in_child():
    if os.fork() == 0:
        outbox = OutboxFile(path)
        empty(outbox, outbox.claim_on_full_disk, lambda numbers: os.write(log, f"{numbers}\\n".encode()))
        os._exit(0)
    return os.waitstatus_to_exitcode(os.wait()[1])

outbox = OutboxFile(path)
kept = fill(outbox, 10_000)
fill_the_rest()
outbox.forsake()
log = os.open(place.parent / "taken", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
killed = 0
for number in range(1, 60):
    last, steps = number, 0
    code = empty_in_child()
    assert code in {0, 9}, (number, code)
    killed += code == 9
    last = 0
    outbox = OutboxFile(path)
    kept += fill(outbox, 10_000)  # which must not take the room for emptying it
    outbox.forsake()
assert killed > 20
assert empty_in_child() == 0
assert OutboxFile(path).size().waiting == 0
taken = {number for line in (place.parent / "taken").read_text().splitlines() for number in json.loads(line)}
assert taken == set(kept), (len(taken), len(kept))
print("held")
"""


@linux_only
def test_a_process_that_is_killed_while_it_empties_leaves_room_for_the_next(tmp_path: Path) -> None:
    run(tmp_path, _KILLED)


_PUBLISHERS = """
import itertools
import json

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.publishing import outbox_delivery, publisher

publisher.PUBLISH_SECONDS, outbox_delivery.LOOK_SECONDS = 0.3, 0.2
outbox_delivery.failures.pause_seconds = lambda failures: 0.02
accepted, doubtful = {"a": 0, "b": 0, "c": 0}, []

def start():
    return RedisMessageQueueBackend(Settings(redis_url=sys.argv[2], redis_outbox=path))

sizes = itertools.cycle([10, 3_000, 100, 50, 60_000])

async def publish(queue, name):
    try:
        event = {"by": name, "n": accepted[name], "text": "x" * next(sizes)}
        await queue.publish("slack_events", event)
    except OutboxFullError as error:
        if error.uncertain:  # Redis has been slow, and may have it
            doubtful.append([name, accepted[name]])
            accepted[name] += 1
        return False
    accepted[name] += 1
    return True

async def main():
    async with start() as a, start() as b, start() as c:
        refused = 0
        while refused < 100:
            refused += [await publish(a, "a"), await publish(b, "b")].count(False)
            await asyncio.sleep(0.01 if refused else 0)
        fill_the_rest()
        for _ in range(20):  # it starts, and wants to keep events, too
            await asyncio.gather(publish(c, "c"), publish(a, "a"), publish(b, "b"))
            await asyncio.sleep(0.02)
        assert reserve.exists()
        print("full", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        while not await publish(a, "a") or not await publish(b, "b"):
            await asyncio.sleep(0.02)
        while (await a.outbox_size()).waiting:
            await asyncio.sleep(0.02)
    print(json.dumps([accepted, doubtful]), flush=True)

asyncio.run(main())
"""


@linux_only
def test_publishers_of_a_full_disk_go_on_when_redis_is_back(tmp_path: Path, own_server: Server) -> None:
    own_server.stop()
    process = subprocess.Popen(
        command(tmp_path, _PUBLISHERS, own_server.url),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        try:
            if process.stdout.readline() == "full\n":
                own_server.start()
            said, errors = process.communicate("\n", timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    found = [json.loads(one["data"]) for one in entries(own_server)]
    accepted, doubtful = json.loads(said)
    for name, count in accepted.items():
        numbers = [one["n"] for one in found if one["by"] == name]
        assert numbers == [n for n in range(count) if n in numbers or [name, n] not in doubtful], name


@pytest.mark.parametrize("is_back", [True, False], ids=["Redis is back", "Redis is away"])
async def test_a_publish_waits_for_room_only_while_redis_takes_what_waits(
    own_server: Server, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch, is_back: bool
) -> None:
    own_server.stop()
    queue = make_queue()
    for number in range(3):
        await queue.publish("slack_events", {"n": number})
    second_waits, go_on, refusals = asyncio.Event(), asyncio.Event(), [OutboxFullError("full")] * 2
    append_all = OutboxFile.append_all

    async def publish_one(*arguments: Any, **options: Any) -> Any:
        if entries(own_server):
            second_waits.set()
            await go_on.wait()
        return await publish(*arguments, **options)

    def refuse_twice(file: OutboxFile, appends: Any) -> None:
        if refusals:
            raise refusals.pop()
        append_all(file, appends)

    monkeypatch.setattr(outbox_delivery, "publish", publish_one)
    if is_back:
        own_server.start()
        await second_waits.wait()
    monkeypatch.setattr(OutboxFile, "append_all", refuse_twice)
    if not is_back:
        with pytest.raises(OutboxFullError, match=r"full The event was not kept\."):
            await queue.publish("slack_events", {"n": 3})
        return
    assert isinstance(await queue.publish_event("slack_events", {"n": 3}), Kept)
    go_on.set()
    await until(lambda: emptied(queue))
    assert [one["data"] for one in entries(own_server)] == [f'{{"n":{number}}}' for number in range(4)]
