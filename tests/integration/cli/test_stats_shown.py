"""What `stats` and its like say to a person: of retries, of people, of what does not exist."""

import json
import os
from typing import Any

import anyio
import anyio.to_thread
import pytest
from redis.asyncio import Redis

from abe_redis import Event, EventWorker, RedisMessageQueueBackend
from tests.command_line import run_command
from tests.integration.cli.command_runs import run
from tests.integration.conftest import MakeBackend, take_one, until
from tests.integration.consuming.ordered.logged_workers import at_work

TOPIC = "slack_events"
LEASE = {"REDIS_STREAM_LEASE_SECONDS": "0.5"}


@pytest.fixture
def at(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)


async def shown(*arguments: str, **environment: str) -> str:
    """What a command prints, while consumers of the test live."""
    done = await anyio.to_thread.run_sync(lambda: run(*arguments, **environment))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.usefixtures("at")
async def test_an_event_that_waits_for_a_retry_is_held_by_nobody(backend: RedisMessageQueueBackend) -> None:
    """Whether its consumer lives or has ended; more consumers are no cure."""
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    async with backend.consume(group="bot") as events:
        for _ in range(2):
            await (await take_one(events)).nack(delay=600)
        alive = run("stats", TOPIC)
    gone = run("stats", TOPIC, **LEASE)
    for shown in (alive.stdout, gone.stdout):
        words = " ".join(shown.split())
        assert (
            "2 events wait in group 'bot' for a retry or a delay: `abe-redis read slack_events --group bot "
            "--waiting` says why."
        ) in words
        assert "is gone" not in words
        assert "add consumers" not in words


@pytest.mark.usefixtures("at")
async def test_a_group_that_was_made_again_is_no_problem_of_now(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """`stats` tells it for an hour, but neither a script nor the doctor is alarmed by it."""
    backend = make_backend(redis_stream_lease_seconds=1)
    handled = set[int]()

    async def handle(event: Event) -> None:
        handled.add(event["n"])

    async def is_recorded() -> bool:
        floor: Any = await redis.hget("abe:groups:{slack_events}", "floor bot")
        return floor is not None and not floor.startswith(b"0-0 ")

    async def is_quiet() -> bool:
        rows: Any = await redis.xinfo_groups(TOPIC)
        return handled == {1, 2} and [(row["pending"], row["lag"]) for row in rows] == [(0, 0)]

    async with at_work(EventWorker(backend, handle, group="bot")):
        await backend.publish(TOPIC, {"n": 1})
        await until(is_recorded)
        await redis.xgroup_destroy(TOPIC, "bot")
        await backend.publish(TOPIC, {"n": 2})
        await until(is_quiet)
        checked = json.loads(await shown("stats", "--check", "--json"))
        assert checked["problems"] == []
        (stream,) = checked["streams"]
        assert stream["health"] == "ok"
        assert "Group 'bot' was made again at " in stream["advice"]
        assert stream["advice"].count("made again") == 1
        assert "after somebody had destroyed it" in " ".join((await shown("stats", "--check")).split())
        found = json.loads((await anyio.to_thread.run_sync(lambda: run("doctor", "--json"))).stdout)
        assert [
            one for one in found["findings"] if one["severity"] != "ok" and one["check"] == "streams"
        ] == []


@pytest.mark.usefixtures("at")
async def test_a_script_is_told_of_a_stalled_stream_when_it_asks(backend: RedisMessageQueueBackend) -> None:
    await backend.publish(TOPIC, {"n": 1})
    assert run("stats", "--check").returncode == 0, "nobody was there yet"
    async with backend.consume(group="bot") as events:
        await take_one(events)
        assert run("stats", "--check").returncode == 0
    stalled = run("stats", "--check", "--json")
    assert (stalled.returncode, json.loads(stalled.stdout)["streams"][0]["health"]) == (1, "stalled")
    assert run("stats").returncode == 0


@pytest.mark.usefixtures("at")
async def test_a_person_is_no_worker(backend: RedisMessageQueueBackend) -> None:
    await backend.publish_many(TOPIC, [{"n": 1}, {"n": 2}])
    await shown("read", TOPIC, "--group", "bot", "-n", "1")
    words = " ".join((await shown("stats", TOPIC, REDIS_STREAM_LEASE_SECONDS="3600")).split())
    start = "start a worker (`abe-redis worker MODULE:HANDLER --group bot`)."
    assert f"no worker is alive (people or agents hold 1): {start}" in words
    await shown("read", TOPIC, "--group", "bot", "-n", "1", **LEASE)  # from now on, its leases are short

    async def it_is_said() -> bool:
        words = " ".join((await shown("stats", TOPIC, **LEASE)).split())
        return "somebody leased that at the command line" in words

    await until(it_is_said)


@pytest.mark.usefixtures("at")
async def test_a_pipe_gets_whole_sentences(backend: RedisMessageQueueBackend) -> None:
    await backend.publish(TOPIC, {"n": 1})
    env = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    said = (await anyio.to_thread.run_sync(lambda: run_command("stats", TOPIC, env=env))).stdout
    assert "nobody reads it: start a worker: `abe-redis worker MODULE:HANDLER --group GROUP`." in said


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize("columns", [50, 80, 200])
async def test_it_fits_a_terminal_of_any_width(backend: RedisMessageQueueBackend, columns: int) -> None:
    await backend.publish(TOPIC, {"n": 1})
    async with backend.consume(group="bot") as events:
        event = await take_one(events)
        said = await shown("stats", TOPIC, COLUMNS=str(columns))
    whole = "".join(said.split())
    for words in (TOPIC, event.id, events.consumer, "alive"):
        assert words in whole
    assert max(map(len, said.splitlines())) <= columns
    assert ("┃ health" in said) == (columns > 50)


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(
    "command",
    [
        "stats s",
        "read s",
        "read s --group g",
        "group list s",
        "group pause s g",
        "group create s g",
        "group resume s g",
        "dead list s",
        "dead summary s",
        "dead redrive s --all",
        "count s --by type",
    ],
)
def test_a_stream_that_does_not_exist_has_one_answer(command: str) -> None:
    done = run(*command.split(), REDIS_STREAM_PATTERNS="s")
    assert (done.returncode, done.stdout) == (1, "")
    makes = command.startswith(("group pause", "group create"))
    offer = " To make it, empty, before its first event, add --create-stream." if makes else ""
    assert done.stderr == (
        "abe-redis: The stream 's' does not exist (yet). No stream exists yet: nothing was published."
        f"{offer}\n"
    )


@pytest.mark.usefixtures("at")
def test_the_audit_is_text_and_knows_no_duplicates() -> None:
    for _ in range(2):
        assert run("publish", '{"n": 1}', "--event-id", "one").returncode == 0
    ((line),) = run("audit").stdout.splitlines()
    assert "publish event" in line
    assert "stream: slack_events; ids: " in line
