"""A full Redis: reading and acking go on, and draining makes room."""

import logging
from typing import Any

import anyio
import pytest

from abe_redis import Bury, Event, EventWorker, Operations, RedisMessageQueueBackend, Retry, Settings
from abe_redis.client import failures
from abe_redis.errors import RedisRefusedError
from abe_redis.operations.erasure import erase
from abe_redis.operations.groups import Groups
from abe_redis.operations.scope import Scope
from tests.integration.conftest import until
from tests.patience import PATIENCE
from tests.servers import Server, Servers

TOPIC = "slack_events"
SIZE = 2000


@pytest.fixture(params=["make_server", "debian_redis"])
def server(request: pytest.FixtureRequest) -> Server:
    servers: Servers = request.getfixturevalue(request.param)
    return servers()


def backend_of(server: Server, **more: Any) -> RedisMessageQueueBackend:
    return RedisMessageQueueBackend(Settings(redis_url=server.url, **more))


def said(channel: str, number: int) -> dict[str, Any]:
    return {"type": "message", "channel": channel, "n": number}


async def fill(server: Server, count: int) -> None:
    """A backlog that fills the memory."""
    async with backend_of(server) as backend:
        await backend.publish_many(TOPIC, [{"n": number, "text": "x" * SIZE} for number in range(count)])
    with server.admin() as admin:
        admin.config_set("maxmemory", admin.info("memory")["used_memory"])


@pytest.mark.parametrize("ordered", [False, True])
async def test_workers_drain_a_full_server_until_it_takes_events_again(
    server: Server, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """Though the group is new, and all of it is less than REDIS_STREAM_MAXLEN."""
    await fill(server, 3000)
    handled: set[int] = set()
    failed: set[int] = set()

    async def handle(event: Event) -> None:
        if event["n"] % 100 == 1 and event.deliveries == 1:
            failed.add(event["n"])
            raise RuntimeError("once")
        handled.add(event["n"])

    async with (
        backend_of(server) as backend,
        backend_of(server) as publisher,
        anyio.create_task_group() as tasks,
    ):
        worker = EventWorker(backend, handle, concurrency=4, ordered=ordered)
        tasks.start_soon(worker.run)

        async def drained() -> bool:
            return len(handled) == 3000

        await until(drained, seconds=3 * PATIENCE)
        assert failed <= handled

        async def takes_events() -> bool:
            with server.admin() as admin:
                memory = admin.info("memory")
            return bool(memory["used_memory"] < memory["maxmemory"])

        await until(takes_events)
        await publisher.publish(TOPIC, {"n": 3000})
        await worker.shutdown()
    said = [one.getMessage() for one in caplog.records if one.levelno >= logging.WARNING]
    assert [sentence for sentence in said if "no memory left" in sentence]
    assert any("up to the first entry that is not finished" in sentence for sentence in said)


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_worker_with_nothing_to_do_makes_room_for_the_events_of_other_streams(
    server: Server, ordered: bool
) -> None:
    """The publisher has no history of its own stream to take."""
    await fill(server, 2000)
    with server.admin() as admin:
        admin.config_set("maxmemory", "0")
        admin.xgroup_create(TOPIC, "default", "$")
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] - 200_000)
    handled = anyio.Event()

    async def handle(_: Event) -> None:
        handled.set()

    async with backend_of(server) as backend, backend_of(server) as publisher:
        worker = EventWorker(backend, handle, ordered=ordered)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)

            async def is_taken() -> bool:
                try:
                    await publisher.publish("slack:other", {"n": "more"})
                except RedisRefusedError:
                    return False
                return True

            await until(is_taken, seconds=3 * PATIENCE)
            await handled.wait()
            await worker.shutdown()
    with server.admin() as admin:
        assert admin.xlen(TOPIC) < 2000


async def test_a_publisher_takes_finished_history_for_its_event(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    """And nothing that somebody has yet to finish."""
    await fill(server, 2000)
    with server.admin() as admin:
        admin.config_set("maxmemory", "0")
        admin.xgroup_create(TOPIC, "done", "$")
        admin.xgroup_create(TOPIC, "behind", "0")
        ((_, rows),) = admin.xreadgroup("behind", "c", {TOPIC: ">"}, count=1500)
        admin.xack(TOPIC, "behind", *[row[0] for row in rows])
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] - 200_000)
    async with backend_of(server) as publisher:
        await publisher.publish(TOPIC, {"n": "more"})
    with server.admin() as admin:
        assert 501 <= admin.xlen(TOPIC) < 2000
        (group,) = [one for one in admin.xinfo_groups(TOPIC) if one["name"] == "behind"]
        assert group["lag"] == 501
    assert any("before its time" in one.getMessage() for one in caplog.records)


async def test_a_group_can_be_resumed_and_removed(server: Server) -> None:
    await fill(server, 500)
    with server.admin() as admin:
        admin.config_set("maxmemory", "0")
        admin.xgroup_create(TOPIC, "default", "0")
        admin.config_set("maxmemory", "1")
    async with backend_of(server) as backend:
        groups = Groups(Scope(backend))
        for change in (groups.pause, groups.resume):
            await change(TOPIC, "default")
        await groups.remove(TOPIC, "default", force=True)


async def letters_of(server: Server) -> list[str]:
    with server.admin() as admin:
        return [fields["data"] for _, fields in admin.xrange("dead:{slack_events}")]


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_burial_waits_for_memory_while_others_go_on(server: Server, ordered: bool) -> None:
    """An ordered worker holds up the conversation, and no other; what is nacked meanwhile comes again."""
    handled, failed = list[tuple[str, int]](), anyio.Event()

    async def handle(event: Event) -> None:
        if (event["channel"], event["n"]) == ("A", 0):
            failed.set()
            raise RuntimeError("poison")
        if event["channel"] == "B" and event.deliveries == 1:
            raise RuntimeError("once")
        handled.append((event["channel"], event["n"]))

    def decide(event: Event, _: Exception) -> Bury | Retry:
        return Bury("it is poison") if event["channel"] == "A" else Retry(0.01)

    async with backend_of(server) as backend, anyio.create_task_group() as tasks:
        await backend.publish_many(TOPIC, [said(channel, n) for n in range(2) for channel in "AB"])
        with server.admin() as admin:
            admin.config_set("maxmemory", "1")
        worker = EventWorker(backend, handle, concurrency=2, ordered=ordered, policy=decide)
        tasks.start_soon(worker.run)
        await failed.wait()

        async def others_are_done() -> bool:
            return {("B", 0), ("B", 1)} <= set(handled)

        await until(others_are_done)
        assert await letters_of(server) == []
        if ordered:
            assert ("A", 1) not in handled
        with server.admin() as admin:
            admin.config_set("maxmemory", "0")

        async def is_over() -> bool:
            return len(await letters_of(server)) == 1 and len(handled) == 3

        await until(is_over)
        await worker.shutdown()


@pytest.mark.parametrize("ordered", [False, True])
async def test_no_ack_waits_until_a_burial_is_tried_again(
    server: Server, ordered: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = anyio.Event()

    async def handle(event: Event) -> None:
        if event["channel"] == "A":
            raise RuntimeError("poison")
        await poisoned.wait()

    def pause_seconds(_: int) -> float:
        poisoned.set()  # the burial has failed again, and waits
        return 1000

    monkeypatch.setattr(failures, "pause_seconds", pause_seconds)
    async with backend_of(server) as backend, anyio.create_task_group() as tasks:
        await backend.publish_many(TOPIC, [said(channel, 0) for channel in "ABCD"])
        with server.admin() as admin:
            admin.config_set("maxmemory", "1")
            worker = EventWorker(
                backend, handle, concurrency=2, ordered=ordered, policy=lambda _, __: Bury("it is poison")
            )
            tasks.start_soon(worker.run)

            async def all_but_one_are_acked() -> bool:
                return [(group["lag"], group["pending"]) for group in admin.xinfo_groups(TOPIC)] == [(0, 1)]

            await until(all_but_one_are_acked)
            admin.config_set("maxmemory", "0")
        await worker.shutdown()


@pytest.mark.parametrize("ordered", [False, True])
async def test_a_worker_that_ends_while_a_burial_waits_leaves_it_to_others(
    server: Server, ordered: bool
) -> None:
    failed, seen = anyio.Event(), list[int]()

    async def fail(_: Event) -> None:
        failed.set()
        raise RuntimeError("poison")

    async def handle(event: Event) -> None:
        seen.append(event["n"])

    settings: dict[str, Any] = {"redis_stream_max_deliveries": 1}
    async with backend_of(server, **settings) as backend, anyio.create_task_group() as tasks:
        await backend.publish(TOPIC, said("A", 0))
        with server.admin() as admin:
            admin.config_set("maxmemory", "1")
        worker = EventWorker(backend, fail, ordered=ordered)
        tasks.start_soon(worker.run)
        await failed.wait()
        await worker.shutdown()
    with server.admin() as admin:
        ((*_, row),) = [admin.xpending_range(TOPIC, "default", "-", "+", 9)]
        assert (row["times_delivered"], row["consumer"]) == (1, "abe:nobody")
        admin.config_set("maxmemory", "0")
    async with backend_of(server, **settings) as backend, anyio.create_task_group() as tasks:
        worker = EventWorker(backend, handle, ordered=ordered)
        tasks.start_soon(worker.run)

        async def is_buried() -> bool:
            return len(await letters_of(server)) == 1

        await until(is_buried)
        await worker.shutdown()
    assert seen == []


def scripts_run(admin: Any) -> int:
    """How many scripts of ours the server has run."""
    return int(admin.info("commandstats")["cmdstat_evalsha"]["calls"])


@pytest.mark.parametrize("ordered", [False, True], ids=["unordered", "ordered"])
@pytest.mark.parametrize("how", ["ack", "release and ack", "erase", "reset"])
async def test_what_a_person_takes_from_a_handler_that_hangs_does_not_come_back(
    server: Server, how: str, ordered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    """The worker looks at its leases, and puts back what it has in hand and nobody gave up on purpose."""
    caplog.set_level(logging.WARNING)
    began = list[str]()

    async def hang(event: Event) -> None:
        began.append(event.id)
        await anyio.sleep_forever()

    async with (
        backend_of(server, redis_stream_lease_seconds=2) as backend,
        backend_of(server) as mine,
        anyio.create_task_group() as tasks,
    ):
        await mine.publish_many(TOPIC, [said(f"C{n}", n) | {"user": "U061F7AUR"} for n in range(2)])
        worker = EventWorker(backend, hang, group="bot", concurrency=2, ordered=ordered)
        tasks.start_soon(worker.run)

        async def hangs() -> bool:
            return len(began) == 2

        await until(hangs)
        with server.admin() as admin:
            admin.config_set("maxmemory", "1")
            (row, *_) = admin.xpending_range(TOPIC, "bot", "-", "+", 1)
        taken, holder = row["message_id"], row["consumer"]
        operations = Operations(mine, origin="cli")
        scope = Scope(mine, origin="cli")
        match how:
            case "erase":
                await erase(scope, user="U061F7AUR")
            case "reset":
                await Groups(scope).reset(TOPIC, "bot", start="now", force=True)
            case _:
                place: dict[str, Any] = {"stream": TOPIC, "group": "bot", "ids": [taken]}
                if how == "release and ack":
                    await operations.release(**place, consumer=holder, delay_seconds=60)
                await operations.ack(**place, consumer=holder)
        with server.admin() as admin:
            before = scripts_run(admin)

            async def looked_often() -> bool:
                return scripts_run(admin) > before + 20

            await until(looked_often)
            held = [one["message_id"] for one in admin.xpending_range(TOPIC, "bot", "-", "+", 9)]
        assert taken not in held
        assert "Put back" not in caplog.text
        assert "lost" not in caplog.text
        tasks.cancel_scope.cancel()
