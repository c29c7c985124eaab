"""What happens in an operator's night: each trouble is made on the real server, looked at, and ended."""

import asyncio
import os
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from abe_redis.consuming.group_consumer import TICK_SECONDS
from abe_redis.doctor import examine
from tests.servers import Server

if TYPE_CHECKING:
    from tests.chaos.night import Night

STREAM, GROUP = "slack_events", "bot"
LEASE_SECONDS = 1.5
USERS = {"default": "on >first ~* &* +@all"}

type Trouble = Callable[["Night", ExitStack], Awaitable[None]]


async def a_backlog(night: "Night", stack: ExitStack) -> None:
    await night.publish_backlog()
    night.said["backlog"] = await night.advised("no group, so nobody reads it: start a worker")
    for _ in range(2):
        night.start_worker(stack)


async def a_blocked_loop(night: "Night", __: ExitStack) -> None:
    with night.frozen(1):  # who would take it over before anybody has looked
        await asyncio.sleep(2 * TICK_SECONDS)  # until Redis waits no more to give the frozen one an event
        (number,) = await night.publish(1, block=6 * LEASE_SECONDS)
        night.blocked[str(number)] = 6 * LEASE_SECONDS
        night.said["blocked loop"] = await night.advised("or its handler blocks the event loop")


async def a_handler_that_hangs(night: "Night", __: ExitStack) -> None:
    await night.publish(1, sleep=4 * LEASE_SECONDS)
    night.said["hanging handler"] = await night.advised("see where it waits")


async def a_frozen_worker(night: "Night", __: ExitStack) -> None:
    await night.publish(8, sleep=LEASE_SECONDS)
    await night.until(night.somebody_works, "a worker to have work")
    with night.frozen(0):
        with night.frozen(1):  # as above
            night.said["frozen worker"] = await night.advised("its process is gone or frozen")
        await night.all_is_done()


async def a_deleted_group(night: "Night", __: ExitStack) -> None:
    await night.publish(20)
    await night.all_is_done()
    await night.until(lambda: _has_recorded_floor(night), "the group's place to be recorded")
    with night.server.admin() as admin:
        admin.xgroup_destroy(STREAM, GROUP)
    night.note("destroyed")
    await night.publish(20)
    night.said["deleted group"] = await night.advised("was made again")


async def _has_recorded_floor(night: "Night") -> bool:
    with night.server.admin() as admin:
        floor = admin.hget(f"abe:groups:{{{STREAM}}}", f"floor {GROUP}")
    return floor is not None and str(floor).split()[2] == "0"


async def a_deleted_consumer(night: "Night", __: ExitStack) -> None:
    await night.publish(6, sleep=LEASE_SECONDS)
    await night.until(night.somebody_works, "a worker to have work")
    with night.server.admin() as admin:
        for row in admin.xinfo_consumers(STREAM, GROUP):
            admin.xgroup_delconsumer(STREAM, GROUP, row["name"])
    night.note("dropped")

    async def put_back() -> str:
        words = "somebody had removed the consumer"  # the worker that holds the event says so, or another
        lines = [line for worker in night.workers for line in worker.stderr.splitlines() if words in line]
        return lines[0] if lines else ""

    night.said["deleted consumer"] = await night.until(put_back, "the worker to say so")


async def a_full_memory(night: "Night", __: ExitStack) -> None:
    with night.server.admin() as admin, night.outage():
        admin.config_set("maxmemory", "1")
        try:
            night.said["full memory"] = await night.advised("has no memory left")
            assert "no memory left" in await night.refusal()
            (found, *_) = [one for one in await examine(night.settings) if one.check == "memory"]
            assert found.severity == "problem"
        finally:
            admin.config_set("maxmemory", "0")
    await night.publish(5)


async def lost_scripts(night: "Night", __: ExitStack) -> None:
    for _number in range(4):
        with night.server.admin() as admin:
            admin.script_flush()
        await night.publish(5)


async def a_restarted_server_and_a_full_disk(night: "Night", __: ExitStack) -> None:
    with night.outage():
        await asyncio.to_thread(night.server.stop)
        night.said["stopped server"] = await night.advised("could not be reached")
        command = 'ulimit -f 0; exec "$0" -m abe_redis publish \'{"n": -1}\''
        variables = os.environ | {
            "REDIS_URL": night.server.url,
            "REDIS_OUTBOX": str(night.directory / "outbox"),
            "REDIS_PASSWORD_FILE": str(night.password),
        }
        publisher = await asyncio.create_subprocess_exec(
            *("sh", "-c", command, sys.executable), env=variables, stderr=asyncio.subprocess.PIPE
        )
        _, said = await publisher.communicate()
        assert publisher.returncode == 1
        night.said["full disk"] = said.decode()
        await asyncio.to_thread(night.server.start)
    await night.publish(5)


async def a_failover(night: "Night", stack: ExitStack) -> None:
    """The primary becomes a replica, and its address leads to another one soon."""
    old = night.server
    following = {"replicaof": f"127.0.0.1 {old.port}", "masterauth": "first", "repl-diskless-sync-delay": "0"}
    new = stack.enter_context(Server(old.binary, persistent=True, users=USERS, options=following))
    await night.publish(5)
    await night.all_is_done()

    async def follows() -> bool:
        with old.admin() as primary, new.admin() as replica:
            has: Any = primary.info("replication")
            sees: Any = replica.info("replication")
        return bool(
            sees["master_link_status"] == "up" and sees["slave_repl_offset"] == has["master_repl_offset"]
        )

    await night.until(follows, "the replica")
    with night.outage():
        with old.admin() as admin:
            admin.execute_command("REPLICAOF", "127.0.0.1", "1")
        night.said["failover"] = await night.advised("is a replica, which takes no writes")
        with new.admin() as admin:
            admin.execute_command("REPLICAOF", "NO", "ONE")
        await asyncio.to_thread(old.stop)
        await asyncio.to_thread(new.move_to, old.port)
        night.server = new
    await night.publish(5)


async def a_rotated_password(night: "Night", __: ExitStack) -> None:
    with night.outage():
        with night.server.admin() as admin:
            admin.execute_command("ACL", "SETUSER", "default", "resetpass", ">second")
            admin.execute_command("CLIENT", "KILL", "USER", "default")
        night.said["rotated password"] = await night.advised("refuses the credentials")
        night.password.write_text("second", encoding="utf-8")
    await night.publish(5)


async def an_expired_user(night: "Night", __: ExitStack) -> None:
    with night.server.admin() as admin:
        with night.outage():
            admin.execute_command("ACL", "SETUSER", "default", "off")
            admin.execute_command("CLIENT", "KILL", "USER", "default")
            night.said["expired user"] = await night.advised("refuses the credentials")
            admin.execute_command("ACL", "SETUSER", "default", "on")
        await night.publish(5)


async def a_deleted_stream(night: "Night", __: ExitStack) -> None:
    """What it held is counted as lost, unless a handler has it already."""
    night.given_up |= await night.publish(8, sleep=2 * LEASE_SECONDS)
    await night.until(lambda: _has_recorded_work(night), "the unfinished work to be recorded")
    with night.server.admin() as admin:
        admin.delete(STREAM)
    night.note("destroyed")
    await night.publish(5)
    night.said["deleted stream"] = await night.advised("before it had finished with them")
    (stream,) = await night.operations.glance(stream=STREAM)
    night.lost += sum(group.lost for group in stream.groups)


async def _has_recorded_work(night: "Night") -> bool:
    with night.server.admin() as admin:
        floor = admin.hget(f"abe:groups:{{{STREAM}}}", f"floor {GROUP}")
    return floor is not None and int(str(floor).split()[2]) >= 8


async def a_flush(night: "Night", __: ExitStack) -> None:
    with night.outage():
        with night.server.admin() as admin:
            admin.flushall()
        night.note("destroyed")
    await night.publish(20)


async def a_key_of_another_type(night: "Night", __: ExitStack) -> None:
    with night.server.admin() as admin, night.outage():
        admin.delete(STREAM)
        admin.set(STREAM, "no stream")
        night.note("destroyed")
        night.said["wrong type"] = await night.advised("'slack_events' is a string")
        assert "not a stream" in await night.refusal()
        admin.delete(STREAM)
        helper = f"abe:due:{{{STREAM}}}:{GROUP}"
        admin.delete(helper)
        admin.set(helper, "no set")
        night.said["wrong type of ours"] = await night.advised(f"'{helper}' is a string")
        admin.delete(helper)
    await night.publish(5)


async def a_clock_that_is_set_back(night: "Night", __: ExitStack) -> None:
    """As seen from then on: the newest entry is an hour ahead."""
    number = night.next_number()
    with night.server.admin() as admin:
        ahead = round((time.time() + 3600) * 1000)
        admin.xadd(STREAM, {"data": f'{{"n": {number}}}'}, id=f"{ahead}-0")
    night.note_accepted(number)
    night.said["clock set back"] = await night.advised("ahead of the server's clock, which was set back")
    await night.publish(5)


ALL: tuple[Trouble, ...] = (
    *(a_backlog, a_blocked_loop, a_handler_that_hangs, a_frozen_worker, a_deleted_group, a_deleted_consumer),
    *(a_full_memory, lost_scripts, a_restarted_server_and_a_full_disk, a_failover, a_rotated_password),
    *(an_expired_user, a_deleted_stream, a_flush, a_key_of_another_type, a_clock_that_is_set_back),
)
