"""`abe-redis worker`, as a supervisor runs it: real processes, real signals, a real server."""

import json
import os
import re
import shutil
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from abe_redis import Backoff, Event, EventWorker, RedisMessageQueueBackend, Retry, Settings
from abe_redis.errors import RedisRefusedError
from tests.hosts.processes import Child, ended, until
from tests.integration.cli.test_cli import run
from tests.servers import HOST, Server, free_port

GROUP = "workers"
STREAM = "slack_events"
DEAD = "dead:{slack_events}"
SLACK = 30.0
"""Seconds by which a loaded machine may be late."""


class Start(Protocol):
    def __call__(self, handler: str, *options: str, before: str = "", **variables: str) -> Child: ...


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts workers in a directory that holds bot.py."""
    shutil.copy(Path(__file__).parents[1].joinpath("worker_handlers.py"), tmp_path / "bot.py")
    with ended(list[Child]()) as children:

        def run(handler: str, *options: str, before: str = "", **variables: str) -> Child:
            python = [sys.executable, "-W", "error", "-m", "abe_redis", *before.split()]
            child = Child(
                [*python, "worker", handler, "--group", GROUP, *options],
                cwd=tmp_path,
                variables=os.environ | {"COLUMNS": "200"} | variables,
                stderr=tmp_path / f"stderr-{len(children)}",
            )
            children.append(child)
            return child

        yield run


@pytest.fixture
def queue(server: Server, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The shared server, which is empty, and whose URL is in the environment."""
    monkeypatch.setenv("REDIS_URL", redis_url)
    return server


def publish(server: Server, *payloads: dict[str, Any]) -> None:
    with server.admin() as client:
        for payload in payloads:
            client.xadd(STREAM, {"data": json.dumps(payload)})


def said(child: Child, what: str) -> list[dict[str, Any]]:
    """What its handlers have said of this so far."""
    return [one for line in list(child.lines) if (one := json.loads(line))["what"] == what]


def wait_until_said(child: Child, what: str, count: int = 1) -> list[dict[str, Any]]:
    def enough(_: list[str]) -> list[dict[str, Any]] | None:
        found = said(child, what)
        return found if len(found) >= count else None

    return child.wait_for(enough, f"{count} times {what!r}")


def wait_for_log(child: Child, words: str) -> None:
    until(lambda: words in child.stderr or child.process.poll() is not None, f"the log to say {words!r}")
    assert words in child.stderr


def wait_until_listening(*workers: Child) -> None:
    for worker in workers:
        wait_for_log(worker, "handles events of")


def held(server: Server) -> dict[str, int]:
    """Per consumer of the group, how many events are leased to it."""
    with server.admin() as client:
        if not client.exists(STREAM) or not client.xinfo_groups(STREAM):
            return {}
        return {row["name"]: row["pending"] for row in client.xinfo_consumers(STREAM, GROUP)}


def left(server: Server) -> int | None:
    """How many events the group has not finished."""
    with server.admin() as client:
        (group,) = client.xinfo_groups(STREAM)
        return None if group["lag"] is None else int(group["pending"]) + int(group["lag"])


def is_given_back(server: Server) -> bool:
    """Whether whoever looks next takes the event: its lease has ended long ago."""
    with server.admin() as client:
        (row,) = client.xpending_range(STREAM, GROUP, "-", "+", 10)
    return int(row["time_since_delivered"]) > 1_000_000_000


def end(worker: Child) -> None:
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.stderr


# --- The end, when it is asked for ----------------------------------------------------------------------


@pytest.mark.promise("The worker asks its own task and scopes whether it was cancelled itself")
@pytest.mark.promise("A worker that receives `SIGTERM` gives its events back at once.")
def test_its_garbage_collector_leaves_alone_what_was_imported(queue: Server, start: Start) -> None:
    publish(queue, {"n": 1})
    (told,) = wait_until_said(start("bot:tell_of_the_collector"), "collector")
    assert told["first"] == 20_000
    assert told["frozen"] > 10_000


def test_at_sigterm_what_is_at_work_ends_and_the_rest_goes_to_others(queue: Server, start: Start) -> None:
    """Quick events make it lease ahead; then slow ones come, so that it holds more than it works on."""
    lease = {"REDIS_STREAM_LEASE_SECONDS": "120"}
    publish(queue, *({"n": number} for number in range(100)))
    publish(queue, *({"n": number, "seconds": 3} for number in range(100, 130)))
    first = start("bot:handle", "--concurrency", "2", "--view", "envelope", **lease)
    first.wait_for(
        lambda _: {one["n"] for one in said(first, "started")} >= {100, 101}, "the slow ones to begin"
    )
    until(lambda: max(held(queue).values()) > 2, "it to have leased ahead")
    first.signal(signal.SIGTERM)
    wait_for_log(first, "Taking no more events; at work: 2, for 25 s at most.")
    told = time.monotonic()
    assert first.wait() == 0, first.stderr
    assert max(one["at"] for one in said(first, "started")) < told, "what it had leased ahead was begun"
    begun = {one["n"] for one in said(first, "started")}
    assert begun == {one["n"] for one in said(first, "finished")}
    assert f"{len(begun)} handled, 0 failed, 0 given back" in first.stderr
    # Nobody waits for a lease: it is longer than this test may take.
    second = start("bot:handle", "--concurrency", "30", "--view", "envelope", **lease)
    wait_until_said(second, "finished", 130 - len(begun))
    until(lambda: left(queue) == 0, "everything to be acknowledged")
    assert begun | {one["n"] for one in said(second, "finished")} == set(range(130))
    assert {one["deliveries"] for one in said(second, "finished")} == {1}
    end(second)


def test_a_handler_that_runs_past_its_deadline_is_cancelled_and_its_event_redelivered(
    queue: Server, start: Start
) -> None:
    publish(queue, {"n": 1})
    first = start("bot:endless", "--drain", "0.5")
    wait_until_said(first, "started")
    first.signal(signal.SIGTERM)
    assert first.wait() == 0, first.stderr
    assert len(said(first, "cancelled")) == 1
    assert "Handlers did not end within 0.5 s" in first.stderr
    assert "0 handled, 0 failed, 1 given back" in first.stderr
    second = start("bot:handle", "--view", "envelope")
    (again,) = wait_until_said(second, "finished")
    assert again["deliveries"] == 2
    end(second)


@pytest.mark.parametrize(
    ("one", "two"), [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGINT)], ids=["TERM", "INT"]
)
def test_a_second_signal_does_not_wait(
    queue: Server, start: Start, one: signal.Signals, two: signal.Signals
) -> None:
    publish(queue, {"n": 1})
    first = start("bot:endless", "--drain", "1000")
    wait_until_said(first, "started")
    first.signal(one)
    wait_for_log(first, "Taking no more events; at work: 1, for 1000 s at most.")
    assert said(first, "cancelled") == []
    first.signal(two)
    assert first.wait() == 0, first.stderr
    assert len(said(first, "cancelled")) == 1
    assert f"Second signal ({two.name})" in first.stderr
    second = start("bot:handle", "--view", "envelope")
    (again,) = wait_until_said(second, "finished")
    assert again["deliveries"] == 2
    end(second)


@pytest.mark.parametrize("signals", [1, 2])
def test_a_handler_that_cannot_be_cancelled_is_left_behind(queue: Server, start: Start, signals: int) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:shielded", "--drain", "0.1" if signals == 1 else "1000")
    wait_until_said(worker, "started")
    for _ in range(signals):
        worker.signal(signal.SIGTERM)
        wait_for_log(worker, "Taking no more events")
    assert worker.wait() == 0
    assert "the process ends without waiting for them" in worker.stderr
    with queue.admin() as client:
        (row,) = client.xpending_range(STREAM, GROUP, "-", "+", 10)
    assert row["consumer"] != "abe:nobody", "it was at work to the end, so it comes again after its lease"


def test_a_handler_that_fails_because_it_is_cancelled_has_not_failed(queue: Server, start: Start) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:fails_when_cancelled", "--drain", "0.1", REDIS_STREAM_MAX_DELIVERIES="1")
    wait_until_said(worker, "started")
    end(worker)
    assert "0 handled, 0 failed, 1 given back" in worker.stderr
    assert is_given_back(queue)


@pytest.mark.parametrize("handler", ["blocking", "blocking_in_a_thread_of_asyncio"])
def test_a_thread_that_goes_on_does_not_hold_up_the_end(queue: Server, start: Start, handler: str) -> None:
    publish(queue, {"n": 1})
    worker = start(f"bot:{handler}", "--drain", "0.1")
    wait_until_said(worker, "started")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert "1 given back" in worker.stderr
    assert "the process ends without waiting for it" in worker.stderr
    assert is_given_back(queue)


def test_an_idle_worker_ends_at_once(queue: Server, start: Start) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:handle")
    until(lambda: left(queue) == 0 if held(queue) else None, "the event to be acknowledged")
    end(worker)
    assert held(queue) == {}, "it has left its group"
    lines = [line for line in worker.stderr.splitlines() if "stood still" not in line]  # as a machine may
    assert len(lines) == 4, "two at the start, one for the signal, one at the end"
    assert "is new" in lines[0] + lines[1]
    assert "at work: 0" in lines[2]
    assert "1 handled, 0 failed, 0 given back" in lines[3]


# --- The end, when it is not ----------------------------------------------------------------------------


@pytest.mark.promise("The same holds for `SIGKILL`")
@pytest.mark.promise("another worker takes the event, as its second delivery.")
def test_after_sigkill_another_worker_has_the_event_when_its_lease_is_over(
    queue: Server, start: Start
) -> None:
    """Promised: within the lease and two seconds."""
    lease = 3
    variables = {"REDIS_STREAM_LEASE_SECONDS": str(lease)}
    workers = [start("bot:endless_at_first", "--view", "envelope", **variables) for _ in range(2)]
    wait_until_listening(*workers)
    publish(queue, {"n": 1})
    until(lambda: any(said(worker, "started") for worker in workers), "one of them to begin")
    victim, heir = sorted(workers, key=lambda worker: not said(worker, "started"))
    time.sleep(1.5 * lease)
    assert said(heir, "started") == [], "the lease of a process that lives is renewed"
    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    (again,) = wait_until_said(heir, "started")
    assert again["deliveries"] == 2
    assert again["at"] - killed <= lease + 2 + SLACK
    until(lambda: left(queue) == 0, "it to be acknowledged")
    end(heir)


def test_a_handler_that_takes_longer_than_a_lease_runs_once(queue: Server, start: Start) -> None:
    workers = [start("bot:handle", REDIS_STREAM_LEASE_SECONDS="3") for _ in range(2)]
    wait_until_listening(*workers)
    publish(queue, {"n": 1, "seconds": 4})
    until(lambda: any(said(worker, "finished") for worker in workers), "one of them to have done it")
    until(lambda: left(queue) == 0, "it to be acknowledged")
    for worker in workers:
        end(worker)
    assert sum(len(said(worker, "started")) for worker in workers) == 1


@pytest.mark.promise("The log says in one line what failed and where in your code")
@pytest.mark.parametrize("before", ["", "-v", "--log-format json"])
def test_poison_is_buried_with_its_reason(queue: Server, start: Start, before: str) -> None:
    publish(queue, {"n": 1})
    worker = start(
        *("bot:fails", "--retry-first", "0.05", "--retry-most", "0.1"),
        before=before,
        REDIS_STREAM_MAX_DELIVERIES="3",
    )
    until(lambda: held(queue) and left(queue) == 0, "it to be buried")
    end(worker)
    assert len(said(worker, "started")) == 3
    with queue.admin() as client:
        ((_, letter),) = client.xrange(DEAD)
    assert letter["abe:reason"] == "handler failed 3 times, last with ValueError: cannot with ***"
    assert letter["abe:group"] == GROUP
    assert "0 handled, 3 failed" in worker.stderr
    # Who reads the log finds the line at fault in it, and no secret.
    assert re.search(r"failed at delivery 1 with .* at bot\.py:\d+ in fails; ", worker.stderr)
    assert ("Traceback" in worker.stderr) == bool(before)
    assert "xoxb" not in worker.stderr


def test_a_handler_has_its_time(queue: Server, start: Start) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:endless", "--timeout", "0.1", REDIS_STREAM_MAX_DELIVERIES="1")
    until(lambda: held(queue) and left(queue) == 0, "it to be buried")
    end(worker)
    with queue.admin() as client:
        ((_, letter),) = client.xrange(DEAD)
    assert (
        letter["abe:reason"]
        == "handler failed 1 time, last with TimeoutError: the handler took longer than 0.1 s"
    )


# --- What is called -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "handler", ["handle", "in_thread", "Bot", "Callable", "an_object", "app.events.handle"]
)
def test_every_kind_of_handler_can_be_called(queue: Server, start: Start, handler: str) -> None:
    publish(queue, {"n": 1})
    worker = start(f"bot:{handler}")
    (started,) = wait_until_said(worker, "started")
    assert started["n"] == 1
    assert not started.get("main"), "a function may block"
    until(lambda: left(queue) == 0, "it to be acknowledged")
    end(worker)


ENVELOPE: dict[str, Any] = {
    "type": "event_callback",
    "event_id": "Ev1",
    "team_id": "T1",
    "api_app_id": "A1",
    "event": {"type": "app_mention", "user": "U1", "channel": "C1", "ts": "1.1", "text": "hi"},
}


SEEN = ENVELOPE["event"] | {"event_id": "Ev1", "team_id": "T1", "api_app_id": "A1"}


@pytest.mark.parametrize(
    ("options", "gets"),
    [
        ([], SEEN),
        (["--view", "event"], SEEN),
        (["--view", "envelope"], ENVELOPE),
    ],
)
def test_the_view_chooses_event_or_envelope(
    queue: Server, start: Start, options: list[str], gets: dict[str, Any]
) -> None:
    publish(queue, ENVELOPE)
    worker = start("bot:shows", *options)
    (got,) = wait_until_said(worker, "got")
    assert got["payload"] == gets
    assert got["deliveries"] == 1
    end(worker)


def test_a_worker_can_refuse_events_of_agents(queue: Server, start: Start) -> None:
    with queue.admin() as client:
        client.xadd(STREAM, {"data": json.dumps({"type": "app_mention", "user": "U0CEO"}), "origin": "mcp"})
    publish(queue, {"type": "app_mention", "user": "U1"})
    worker = start("bot:shows", "--refuse-origin", "mcp", "--refuse-origin", "cli")
    (got,) = wait_until_said(worker, "got")
    assert got["payload"]["user"] == "U1"
    until(lambda: left(queue) == 0, "everything to be finished")
    assert len(said(worker, "got")) == 1
    with queue.admin() as client:
        ((_, buried),) = client.xrange(DEAD)
    assert buried["abe:reason"] == "its origin is 'mcp', which this worker refuses"
    end(worker)


def test_the_hosts_decorated_functions_are_called(queue: Server, start: Start, tmp_path: Path) -> None:
    pytest.importorskip("slack_mcp", reason="slack-mcp is not released for this Python")
    (tmp_path / "decorated.py").write_text(
        "from bot import say\n"
        "from slack_mcp.webhook.event.handler.decorator import DecoratorHandler\n"
        "handler = DecoratorHandler()\n"
        "@handler.app_mention\n"
        "async def on_mention(event):\n"
        "    say('mentioned', event, text=event['text'])\n"
    )
    publish(queue, ENVELOPE)
    worker = start("decorated:handler")
    (mentioned,) = wait_until_said(worker, "mentioned")
    assert mentioned["text"] == "hi"
    end(worker)


def test_a_handler_cannot_stop_the_loop_that_all_share(queue: Server, start: Start, tmp_path: Path) -> None:
    (tmp_path / "old.py").write_text(
        "import asyncio\n"
        "from bot import say\n"
        "async def handle(event):\n"
        "    if event['n'] == 1:\n"
        "        asyncio.get_running_loop().stop()\n"
        "    say('finished', event, n=event['n'])\n"
    )
    publish(queue, {"n": 1}, {"n": 2})
    worker = start("old:handle", REDIS_STREAM_MAX_DELIVERIES="1")
    wait_until_said(worker, "finished")
    until(lambda: left(queue) == 0, "everything to be finished")
    assert [one["n"] for one in said(worker, "finished")] == [2]
    with queue.admin() as client:
        ((_, buried),) = client.xrange(DEAD)
    assert "loop.stop() was called" in buried["abe:reason"]
    end(worker)


def test_answers_are_sent_on(queue: Server, start: Start) -> None:
    publish(queue, {"n": 21})
    worker = start("bot:doubles", "--respond-to", "answers")
    with queue.admin() as client:
        until(lambda: client.xlen("answers"), "the answer")
        ((_, answer),) = client.xrange("answers")
    assert json.loads(answer["data"])["result"] == 42
    end(worker)


def test_a_worker_handles_only_the_streams_that_it_is_given(start: Start, queue: Server) -> None:
    with queue.admin() as client:
        for number, stream in enumerate(("slack:a", "slack:b", "slack_events", "slack:c1")):
            client.xadd(stream, {"data": json.dumps({"n": number})})
        worker = start("bot:handle", "--stream", "slack:b", "-s", "slack:c*")
        wait_for_log(worker, "handles events of slack:b, slack:c*")
        wait_until_said(worker, "finished", 2)
        assert run("publish", '{"n": 4}', "--stream", "slack:c2").returncode == 0
        client.xadd("slack:b", {"data": json.dumps({"n": 5})})
        wait_until_said(worker, "finished", 4)
        end(worker)
        assert sorted(one["n"] for one in said(worker, "started")) == [1, 3, 4, 5]
        assert [client.xinfo_groups(one) for one in ("slack:a", "slack_events")] == [[], []]


def test_as_many_functions_run_at_a_time_as_was_asked_for(queue: Server, start: Start) -> None:
    """More than the 40 threads that anyio has by default."""
    publish(queue, *({"n": number} for number in range(45)))
    worker = start("bot:meets_others", "-c", "45")
    met = wait_until_said(worker, "met", 45)
    assert Counter(one["n"] for one in met) == Counter(range(45))
    end(worker)


# --- Redis ----------------------------------------------------------------------------------------------


def test_a_redis_that_is_away_is_waited_for(
    own_server: Server, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", own_server.url)
    own_server.stop()
    impatient, worker = start("bot:handle"), start("bot:handle")
    for one in (impatient, worker):
        wait_for_log(one, "could not be reached")
    end(impatient)
    own_server.start()
    publish(own_server, {"n": 1})
    assert wait_until_said(worker, "finished")[0]["n"] == 1
    assert "reads again" in worker.stderr
    end(worker)


def test_a_redis_that_refuses_is_not(queue: Server, start: Start) -> None:
    url = queue.url.replace("://", "://nobody:s3cret@")
    worker = start("bot:handle", REDIS_URL=url)
    assert worker.wait() == 1
    assert worker.stderr.splitlines()[-1].startswith(
        f"abe-redis: Redis at {queue.url} refused the user name or password while reading group 'workers' "
        "(invalid username-password pair or user is disabled). Check REDIS_USERNAME and REDIS_PASSWORD, or "
        "the credentials in REDIS_URL."
    )
    assert "Traceback" not in worker.stderr
    assert "s3cret" not in worker.stderr


async def test_a_worker_in_a_program_raises_the_refusal_itself(redis_url: str) -> None:
    """Not in the groups of its task groups."""
    settings = Settings(redis_url=redis_url.replace("://", "://nobody:s3cret@"))
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(RedisRefusedError, match="refused the user name or password"):
            await EventWorker(backend, print).run()


# --- What it says ---------------------------------------------------------------------------------------


def test_the_first_line_says_who_reads_what(queue: Server, start: Start) -> None:
    with queue.admin() as client:
        client.acl_setuser("app", enabled=True, passwords=["+s3cret"], keys=["*"], commands=["+@all"])
    worker = start(
        "bot:handle",
        "-c",
        "3",
        REDIS_URL=queue.url.replace("redis://", "redis://app:s3cret@"),
        REDIS_STREAM_CONSUMER="bot-1",
        REDIS_STREAM_PATTERNS="slack:*,mine",
    )
    wait_until_listening(worker)
    assert worker.stderr.rstrip().endswith(
        "INFO abe_redis.worker.event_worker: "
        "Consumer 'bot-1' of group 'workers' handles events of mine, slack_events, "
        f"slack:* at {queue.url}, 3 at a time."
    )
    end(worker)
    assert "s3cret" not in worker.stderr


@pytest.mark.parametrize("verbose", [False, True])
def test_other_libraries_are_quiet_unless_asked(queue: Server, start: Start, verbose: bool) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:logs", before="-v" if verbose else "")
    wait_until_said(worker, "running on")
    end(worker)
    assert ("not shown" in worker.stderr) == verbose
    assert ("only shown with -v" in worker.stderr) == verbose


def test_uvloop_is_used_when_it_is_there(queue: Server, start: Start, tmp_path: Path) -> None:
    """A stand-in for it, which notes that its loop was asked for."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "uvloop.py").write_text(
        "import asyncio\nclass Loop(asyncio.SelectorEventLoop): pass\ndef new_event_loop(): return Loop()\n"
    )
    publish(queue, {"n": 1})
    worker = start("bot:logs", PYTHONPATH=str(tmp_path / "path"))
    assert wait_until_said(worker, "running on")[0]["loop"] == "uvloop"
    end(worker)


def test_help_shows_examples() -> None:
    shown = run("worker", "--help").stdout
    assert "Example: abe-redis worker bot:handle --group workers --concurrency 8" in shown
    for option in (
        "--group",
        "--concurrency",
        "--timeout",
        "--view",
        "--respond-to",
        "--drain",
        "--refuse-origin",
        "--retry-first",
        "--retry-most",
    ):
        assert option in shown
    assert "worker" in run("--help").stdout


# --- Mistakes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "Missing argument 'MODULE:HANDLER'"),
        (["bot"], 2, "'bot' does not name a handler. Write MODULE:HANDLER"),
        (["bot:"], 2, "'bot:' does not name a handler"),
        ([":handle"], 2, "':handle' does not name a handler"),
        ([".bot:handle"], 2, "'.bot:handle' does not name a handler"),
        (
            ["bot.py:handle"],
            2,
            "'bot.py:handle' names a file. Write its module as import does, as in bot:handle",
        ),
        (["./src/bot.py:handle"], 2, "as in src.bot:handle"),
        (
            ["bott:handle"],
            2,
            "The module 'bott', which 'bott:handle' names, is neither in the working directory",
        ),
        (["bot.sub:handle"], 2, "'bot' is not a package"),
        (["bot:handel"], 2, "bot.py) has no 'handel', which 'bot:handel' names. Did you mean 'handle'?"),
        (["bot:app.events.handel"], 2, "'events' of 'bot' has no 'handel'"),
        (["bot:xyzzy"], 2, "has no 'xyzzy', which 'bot:xyzzy' names. Check the name."),
        (["bot:number"], 2, "'bot:number' is no handler but of type 'int', which cannot be called."),
        (["bot:Holder"], 2, "is no handler but of type 'str'"),
        (
            ["bot:two"],
            2,
            "'bot:two' takes (event, say), but a handler is called with one argument, the event.",
        ),
        (["bot:none"], 2, "'bot:none' takes ()"),
        (["bot:yields"], 2, "'bot:yields' contains yield"),
        (["bot:WithArguments"], 2, "'bot:WithArguments' is a class that takes (token)"),
        (["bot:WithoutHandleEvent"], 2, "'bot:WithoutHandleEvent' is a class without handle_event."),
        (
            ["bot:Broken"],
            1,
            "Making an object of the class 'bot:Broken' failed with RuntimeError: no token at ",
        ),
        (["bot:handle", "--concurrency", "0"], 2, "Invalid value for '--concurrency'"),
        (["bot:handle", "--timeout", "0"], 2, "Invalid value for '--timeout'"),
        (["bot:handle", "--drain", "-1"], 2, "Invalid value for '--drain'"),
        (["bot:handle", "--view", "raw"], 2, "Invalid value for '--view'"),
        (["bot:handle", "--group", "\n"], 2, "group"),
        (["bot:handle", "--stream", "elsewhere"], 2, "'elsewhere' is not among those that are read here"),
        (["bot:handle", "--stream", "dead:{slack_events}"], 2, "dead:{slack_events}"),
        (["bot:handle", "-s", "slack:a", "-s", "slack:b", "--respond-to", "slack:b"], 2, "slack:a, slack:b"),
        (["bot:handle", "--respond-to", "slack:answers"], 2, "every answer would come back to the handler"),
        (["bot:handle", "--respond-to", "dead:{x}"], 2, "dead:{x}"),
    ],
)
def test_a_mistake_is_a_sentence(
    queue: Server, start: Start, arguments: list[str], code: int, says: str
) -> None:
    result = run("worker", *arguments, COLUMNS="500")
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import json\n\nimport nowhere\n", "ModuleNotFoundError: No module named 'nowhere' at {file}:3."),
        ("import os\nos.environ['NO_SUCH_TOKEN']\n", "KeyError: 'NO_SUCH_TOKEN' at {file}:2."),
        ("def handle(event:\n", "SyntaxError: '(' was never closed ({name}, line 1) at {file}:1."),
        ("raise ValueError('xoxb-1-secret')\n", "ValueError: *** at {file}:1."),
    ],
)
def test_a_module_that_cannot_be_imported_says_where(tmp_path: Path, source: str, says: str) -> None:
    """It is there, so nobody is told that it is not."""
    file = tmp_path / "broken.py"
    file.write_text(source)
    result = run("worker", "broken:handle", COLUMNS="500")
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    expected = says.format(file=file, name=file.name)
    assert sentence.startswith(f"abe-redis: Importing 'broken' failed with {expected}")
    shown = run("-v", "worker", "broken:handle").stderr
    assert "Traceback" in shown


def test_a_directory_without_init_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "bots").mkdir()
    result = run("worker", "bots:handle")
    assert result.returncode == 2
    assert "The module 'bots' (a directory without __init__.py) has no 'handle'" in result.stderr


def test_no_file_of_the_bots_directory_takes_the_place_of_ours(tmp_path: Path) -> None:
    """Neither an installed console script's sys.path nor what we need begins in the working directory."""
    (tmp_path / "redis.py").write_text("raise RuntimeError('not the real one')\n")
    (tmp_path / "bot.py").write_text(
        "import redis.asyncio\nraise SystemExit(f'the bot has {redis.asyncio}')\n"
    )
    script = "import sys; sys.path.remove(''); from abe_redis.cli import main; main()"
    import subprocess

    result = subprocess.run(
        [sys.executable, "-c", script, "worker", "bot:handle"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "the bot has <module 'redis.asyncio' from" in result.stderr


def test_a_setting_is_checked(start: Start) -> None:
    worker = start("bot:handle", REDIS_URL=f"redis://:s3cret@{HOST}:{free_port()}/x")
    assert worker.wait() == 2
    assert "REDIS_URL is not valid" in worker.stderr
    assert "s3cret" not in worker.stderr


def test_a_backoff_of_many_deliveries_stays_a_number() -> None:
    """With a million deliveries allowed, doubling would overflow after the thousandth."""
    event = Event({}, stream="s", group="g", id="1-0", deliveries=5000)
    decision = Backoff(most=60, deliveries=1_000_000)(event, ValueError())
    assert isinstance(decision, Retry)
    assert decision.delay <= 60


@pytest.mark.promise("With `--ordered`, the events of a conversation are handled one at a time")
def test_ordered_workers_take_turns_with_a_conversation(queue: Server, start: Start) -> None:
    workers = [start("bot:handle", "--ordered", "--concurrency", "4") for _ in range(2)]
    wait_until_listening(*workers)
    publish(queue, *({"channel": "C1", "n": number, "seconds": 0.01} for number in range(20)))
    until(lambda: sum(len(said(child, "finished")) for child in workers) == 20, "all to be handled")
    told = [json.loads(line) for child in workers for line in child.lines]
    steps = sorted((one["at"], one["what"], one["n"]) for one in told)
    assert [step[1:] for step in steps] == [
        (what, number) for number in range(20) for what in ("started", "finished")
    ]
    for child in workers:
        child.signal(signal.SIGTERM)
        assert child.wait() == 0
