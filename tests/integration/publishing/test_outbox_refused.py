"""Events in the outbox that Redis refuses, or may know already: none blocks another."""

import logging
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from abe_redis import Settings
from abe_redis.doctor import Finding, machine
from abe_redis.errors import RedisRefusedError
from abe_redis.publishing.outbox_file import OutboxSize
from abe_redis.publishing.outbox_kept import Kept
from abe_redis.runtime import clock
from tests.integration.conftest import log_says, until
from tests.integration.publishing.outboxes import (
    MakeQueue,
    _impatient,
    emptied,
    entries,
    leave,
    make_queue,
    path,
    patient,
    until_it_holds,
)
from tests.servers import Server

__all__ = ["_impatient", "make_queue", "path"]


def execute(path: Path, statement: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path, timeout=5)) as database, database:
        return database.execute(statement).fetchall()


@pytest.mark.promise("is given up: it stays in the file with the reason,")
async def test_a_permanently_refused_event_blocks_no_other(
    own_server: Server, make_queue: MakeQueue, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_queue()
    own_server.stop()
    await queue.publish("slack_events", {"text": "x" * 2_000_000})
    for number in range(3):
        await queue.publish("slack_events", {"n": number})
    await queue.close()
    own_server.start()
    with own_server.admin() as admin:
        admin.config_set("proto-max-bulk-len", 1024 * 1024)
    queue = make_queue()
    await queue.connections()
    await until(lambda: emptied(queue))
    assert [fields["data"] for fields in entries(own_server)] == [f'{{"n":{number}}}' for number in range(3)]
    assert await queue.outbox_size() == OutboxSize(waiting=0, refused=1)
    ((reason,),) = execute(path, "SELECT refused FROM event ORDER BY number")
    assert "invalid bulk length" in reason

    async def told() -> bool:
        errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
        return any("cannot be delivered; that file keeps" in message for message in errors)

    await until(told)

    with own_server.admin() as admin:
        admin.config_set("proto-max-bulk-len", 512 * 1024 * 1024)
    (finding,) = await _of_the_outbox(path)
    assert finding.severity == "problem"
    _, file, statement = shlex.split(finding.command)
    assert Path(file) == path
    execute(path, statement)
    await until(lambda: emptied(queue))
    assert len(entries(own_server)) == 4
    assert [one.severity for one in await _of_the_outbox(path)] == ["ok"]


async def test_a_refused_event_that_its_operator_gives_up_is_no_problem_any_more(
    own_server: Server, make_queue: MakeQueue, path: Path
) -> None:
    queue = make_queue()
    own_server.stop()
    await queue.publish("slack_events", {"n": 1})
    await queue.close()
    execute(path, "UPDATE event SET refused = 'too large'")
    (finding,) = await _of_the_outbox(path)
    (statement,) = re.findall(r"DELETE .* NULL", finding.advice)
    execute(path, statement)
    assert [one.severity for one in await _of_the_outbox(path)] == ["ok"]


async def _of_the_outbox(path: Path) -> list[Finding]:
    return [one async for one in machine.outbox(Settings(redis_outbox=path))]


async def test_a_key_in_the_way_holds_up_its_own_events_until_it_is_gone(
    own_server: Server, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    queue = make_queue()
    own_server.stop()
    for number in range(3):
        for stream in ("slack:list", "slack_events"):
            await queue.publish(stream, {"n": number})
    await queue.close()
    own_server.start()
    with own_server.admin() as admin:
        admin.rpush("slack:list", "x")
    queue = make_queue()
    await queue.connections()
    await until_it_holds(queue, waiting=3, refused=0)
    assert len(entries(own_server)) == 3
    assert "is not a stream" in caplog.text
    with own_server.admin() as admin:
        admin.delete("slack:list")
    await until(lambda: emptied(queue))
    assert entries(own_server, "slack:list") == [{"data": f'{{"n":{number}}}'} for number in range(3)]


@pytest.mark.promise("Events that this user may not publish any more wait in the same way.")
async def test_a_missing_right_is_waited_for(
    own_server: Server, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a restart of Redis, until somebody has set the users again."""
    queue = make_queue()
    own_server.stop()
    for number in range(3):
        await queue.publish("slack_events", {"n": number})
    own_server.start()
    with own_server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-xadd")
        await until(lambda: log_says(caplog, "does not permit"))
        admin.execute_command("ACL", "SETUSER", "default", "+xadd")
    await until(lambda: emptied(queue))
    assert entries(own_server) == [{"data": f'{{"n":{number}}}'} for number in range(3)]
    assert (await queue.outbox_size()).refused == 0


@pytest.mark.promise("A process whose user may not publish leaves them to one that may:")
async def test_events_are_left_to_a_process_that_may_publish(
    own_server: Server, make_queue: MakeQueue, caplog: pytest.LogCaptureFixture
) -> None:
    own_server.stop()
    await leave(make_queue, *range(3))
    own_server.start()
    with own_server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "looker", "on", ">secret", "~*", "&*", "+@all", "-xadd")
    looks = make_queue(redis_username="looker", redis_password="secret")
    await looks.connections()
    await until(lambda: log_says(caplog, "does not permit"))
    size = await looks.outbox_size()
    assert (size.waiting, size.refused) == (3, 0)
    publishes = make_queue()
    await publishes.connections()
    await until(lambda: emptied(publishes))
    assert entries(own_server) == [{"data": f'{{"n":{number}}}'} for number in range(3)]
    assert caplog.text.count("does not permit") == 1


@pytest.mark.promise("carries the field `possible-duplicate`.")
async def test_an_event_whose_id_redis_may_have_forgotten_is_marked(
    own_server: Server, make_queue: MakeQueue, path: Path
) -> None:
    own_server.stop()
    queue = make_queue()
    for number in range(2):
        await queue.publish("slack_events", {"n": number})
    await queue.close()
    execute(path, "UPDATE event SET published_at = published_at - 3600 WHERE number = 1")
    own_server.start()
    queue = make_queue()
    await queue.connections()
    await until(lambda: emptied(queue))
    assert entries(own_server) == [{"data": '{"n":0}', "possible-duplicate": "1"}, {"data": '{"n":1}'}]


@pytest.mark.promise("A step while no process with this outbox ran is found only")
async def test_so_is_one_from_a_time_that_is_still_to_come(
    own_server: Server, make_queue: MakeQueue, path: Path
) -> None:
    own_server.stop()
    queue = make_queue()
    for number in range(2):
        await queue.publish("slack_events", {"n": number})
    await queue.close()
    execute(path, "UPDATE event SET published_at = published_at + 60 WHERE number = 1")
    own_server.start()
    queue = make_queue()
    await queue.connections()
    await until(lambda: emptied(queue))
    assert entries(own_server) == [{"data": '{"n":0}', "possible-duplicate": "1"}, {"data": '{"n":1}'}]


@pytest.mark.promise("So it does if this machine's clock was set back meanwhile")
async def test_so_is_one_that_waited_while_the_clock_was_set_back(
    own_server: Server, make_queue: MakeQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_server.stop()
    queue, boottime = make_queue(), clock.now
    await queue.publish("slack_events", {"n": 0})
    # Two hours go by; then the clock is set to what it was.
    monkeypatch.setattr(clock, "now", lambda: boottime() + 7200)
    own_server.start()
    await until(lambda: emptied(queue))
    assert entries(own_server) == [{"data": '{"n":0}', "possible-duplicate": "1"}]


async def test_a_server_without_memory_is_waited_for(own_server: Server, make_queue: MakeQueue) -> None:
    queue = make_queue()
    with own_server.admin() as admin:
        admin.config_set("maxmemory", 1)
        for number in range(3):
            assert isinstance(await queue.publish_event("slack_events", {"n": number}), Kept)
        admin.config_set("maxmemory", 0)
    await until(lambda: emptied(queue))
    assert len(entries(own_server)) == 3


@pytest.mark.promise("is too large or is not permitted to this user, is raised at once and not kept.")
async def test_an_event_that_redis_refuses_is_not_kept(
    own_server: Server, make_queue: MakeQueue, path: Path
) -> None:
    with own_server.admin() as admin:
        admin.rpush("slack:list", "x")
        admin.config_set("proto-max-bulk-len", 1024 * 1024)
        admin.execute_command("ACL", "SETUSER", "default", "resetkeys", "~slack:*", "~abe:*")
    with patient():
        with pytest.raises(RedisRefusedError, match="is not a stream"):
            await make_queue().publish("slack:list", {})
        with pytest.raises(RedisRefusedError, match="does not permit"):
            await make_queue().publish("elsewhere", {})
        with pytest.raises(RedisRefusedError, match="invalid bulk length"):
            await make_queue().publish("slack:long", {"text": "x" * 2_000_000})
    assert not path.exists()
