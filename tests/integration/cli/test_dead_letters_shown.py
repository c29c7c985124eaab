"""Dead letters at volume: counted by what is alike, shown whole one by one, and page by page."""

import functools
import json
import os
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend
from abe_redis.errors import RequestError
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.scope import Scope
from tests.command_line import run_command
from tests.integration.agents import said
from tests.integration.conftest import MakeBackend, until
from tests.servers import Server

SECRET = "xoxb-123456789012-123456789012-abcdefabcdefabcdefabcdef"


async def fails(event: Event) -> None:
    if event["n"] % 2:
        raise ValueError(f"no channel 'C{event['n']}' in 17 places, with {SECRET}")
    raise LookupError("missing")


async def fails_with(words: str, event: Event) -> None:
    del event
    raise LookupError(words)


class HasEveryAttribute:
    """As Slack MCP Server's DecoratorHandler."""

    async def handle_event(self, event: Event) -> None:
        await fails_with("missing", event)

    def __getattr__(self, name: str) -> Any:
        return lambda: name


async def bury(
    make_backend: MakeBackend, count: int, *, stream: str = "slack_events", handler: Any = fails
) -> RedisMessageQueueBackend:
    backend = make_backend()
    for n in range(count):
        await backend.publish(stream, {"type": "message" if n % 3 else "app_mention", "n": n})
    worker = EventWorker(backend, handler, policy=Backoff(deliveries=1), concurrency=4)
    dead = DeadLetters(Scope(backend))

    async def all_are_buried() -> bool:
        return (await dead.find(stream, Choice(), count=1)).total == count

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(worker.run)
        await until(all_are_buried)
        await worker.shutdown()
    return backend


async def test_a_summary_counts_what_is_alike(make_backend: MakeBackend) -> None:
    backend = await bury(make_backend, 12)
    found = await DeadLetters(Scope(backend)).summarise(None, Choice())
    assert found.total == 12
    counts = [kind.count for kind in found.kinds]
    assert sum(counts) == 12
    assert counts == sorted(counts, reverse=True)
    reasons = {kind.reason for kind in found.kinds}
    assert len(reasons) == 2
    assert any("ValueError: no channel # in # places" in reason for reason in reasons)
    assert {kind.handler for kind in found.kinds} == {f"{__name__}.fails"}
    assert {kind.event_type for kind in found.kinds} == {"message", "app_mention"}
    few = await DeadLetters(Scope(backend)).summarise("slack_events", Choice(reason="missing"), count=1)
    assert (few.total, len(few.kinds), few.omitted) == (6, 1, 1)


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (functools.partial(functools.partial(fails_with), "missing"), "fails_with"),
        (HasEveryAttribute(), "HasEveryAttribute"),
        (HasEveryAttribute().handle_event, "HasEveryAttribute.handle_event"),
    ],
)
async def test_a_handler_has_the_same_name_in_every_process(
    make_backend: MakeBackend, handler: Any, name: str
) -> None:
    backend = await bury(make_backend, 1, handler=handler)
    (kind,) = (await DeadLetters(Scope(backend)).summarise(None, Choice())).kinds
    assert kind.handler == f"{__name__}.{name}"


@pytest.mark.promise("A dead letter keeps the end of the traceback")
async def test_one_is_shown_with_its_trace_and_payload(make_backend: MakeBackend) -> None:
    backend = await bury(make_backend, 2)
    dead = DeadLetters(Scope(backend))
    listed = (await dead.find(None, Choice())).letters
    assert all(letter.trace is None and letter.payload is None for letter in listed)
    (bad,) = (await dead.find(None, Choice(reason="ValueError"))).letters
    (shown,) = (await dead.show(bad.id)).letters
    assert shown.payload == {"type": "message", "n": 1}
    assert shown.handler == f"{__name__}.fails"
    assert shown.trace is not None
    assert "raise ValueError" in shown.trace
    assert SECRET not in shown.trace
    assert len(shown.trace) <= 2000
    with pytest.raises(RequestError, match="There is no dead letter 1-1 of any stream"):
        await dead.show("1-1")
    with pytest.raises(RequestError, match="of 'slack_events'"):
        await dead.show("1-1", "slack_events")


async def test_pages_show_each_once_over_all_streams(make_backend: MakeBackend) -> None:
    await bury(make_backend, 5, stream="slack:one")
    backend = await bury(make_backend, 5, stream="slack:two")
    dead = DeadLetters(Scope(backend))
    seen: list[tuple[str, str]] = []
    start: str | None = None
    for _ in range(10):
        page = await dead.find(None, Choice(), count=3, start=start)
        seen += [(letter.stream, letter.id) for letter in page.letters]
        start = page.next_start
        if start is None:
            break
    assert len(seen) == len(set(seen)) == 10
    first = (await dead.find("slack:two", Choice(), count=1)).letters[0]
    rest = await dead.find("slack:two", Choice(), start=first.id)
    assert len(rest.letters) == 4


async def test_a_redriven_event_leaves_its_trace_behind(make_backend: MakeBackend, redis: Redis) -> None:
    backend = await bury(make_backend, 1)
    await DeadLetters(Scope(backend)).redrive("slack_events", Choice(everything=True))
    rows: Any = await redis.xrevrange("slack_events", count=1)
    assert b"abe:trace" not in rows[0][1]
    assert json.loads(rows[0][1][b"data"]) == {"type": "app_mention", "n": 0}


async def command(redis_url: str, *words: str) -> str:
    done = await anyio.to_thread.run_sync(
        lambda: run_command("dead", *words, env=os.environ | {"REDIS_URL": redis_url})
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_the_commands_print_it_for_people_and_scripts(
    make_backend: MakeBackend, redis_url: str
) -> None:
    assert "No dead letters." in await command(redis_url, "summary")
    backend = await bury(make_backend, 2)
    summary = await command(redis_url, "summary", "slack_events", "--count", "1")
    assert "      1  slack_events  " in summary
    assert "Another 1 kind: raise --count, or narrow the choice." in summary
    page = await command(redis_url, "list", "--count", "1")
    start = page.split("--start ")[1].split(",")[0]
    assert "There are more" not in await command(redis_url, "list", "--start", start)
    (bad,) = (await DeadLetters(Scope(backend)).find(None, Choice(reason="ValueError"))).letters
    shown = await command(redis_url, "show", bad.id)
    for words in (
        bad.id,
        f"handler    {__name__}.fails",
        "raise ValueError",
        '"n": 1',
        "reason     handler failed",
    ):
        assert words in shown
    as_json = json.loads(await command(redis_url, "show", bad.id, "--json"))
    assert as_json["letters"][0]["payload"] == {"type": "message", "n": 1}


async def test_no_line_of_an_exception_looks_like_one_of_ours(redis: Redis, redis_url: str) -> None:
    forged = "Boom\nreason     all is well\nid         1-1\n\x1b[2J"
    fields: dict[Any, Any] = {"data": "{}", "abe:reason": forged, "abe:group": "bot", "abe:trace": forged}
    entry_id: Any = await redis.xadd("dead:{slack_events}", fields)
    lines = (await command(redis_url, "show", entry_id.decode())).splitlines()
    assert [line for line in lines if line.startswith("id ")] == [f"id         {entry_id.decode()}"]
    assert len([line for line in lines if line.startswith("reason ")]) == 1
    assert "  id         1-1" in lines
    assert "\x1b" not in "".join(lines)


def test_dead_letters_of_a_person_a_channel_or_some_words_are_found(
    server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody says that a question was lost."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    client = server.admin()
    for number in range(1, 5):
        event = json.dumps(said(number, f"question {number}"))
        letter: Any = {
            "data": event,
            "abe:reason": "ValueError: 7",
            "abe:group": "bot",
            "abe:id": f"{number}-0",
        }
        client.xadd("dead:{slack_events}", letter, id=f"173200000000{number}-0")

    def found(*options: str) -> list[str]:
        answer = run_command("dead", "list", "slack_events", *options, "--json")
        assert answer.returncode == 0, answer.stderr
        return [one["first_id"] for one in json.loads(answer.stdout)["letters"]]

    assert found("--user", "U1") == ["1-0", "3-0"]
    assert found("--channel", "<#C1|general>") == ["1-0", "4-0"]
    assert found("--user", "U1", "--channel", "C1") == ["1-0"]
    assert found("--contains", "Question 3") == ["3-0"]
    nothing = run_command("dead", "list", "slack_events", "--user", "U9")
    assert nothing.stdout == "None of 4 dead letters matches.\n"
