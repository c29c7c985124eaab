"""What `abe-redis worker` calls, with what and how often, and what becomes of failures."""

import json
import re
import signal
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.processes import until
from tests.integration.cli.command_runs import run
from tests.integration.cli.worker_process import (
    GROUP,
    STREAM,
    Start,
    end,
    held,
    left,
    publish,
    queue,
    said,
    start,
    wait_for_log,
    wait_until_listening,
    wait_until_said,
)
from tests.servers import Server

__all__ = ["queue", "start"]

DEAD = "dead:{slack_events}"


def test_a_handler_that_takes_longer_than_a_lease_runs_once(queue: Server, start: Start) -> None:
    # From a renewal on, a busy machine may let a process stand still for two thirds of the lease.
    workers = [start("bot:handle", REDIS_STREAM_LEASE_SECONDS="9") for _ in range(2)]
    wait_until_listening(*workers)
    publish(queue, {"n": 1, "seconds": 10})
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


@pytest.mark.parametrize(
    "handler", ["handle", "in_thread", "Bot", "Callable", "an_object", "app.events.handle"]
)
def test_every_kind_of_handler_can_be_called(queue: Server, start: Start, handler: str) -> None:
    publish(queue, {"n": 1})
    worker = start(f"bot:{handler}", by="start" if handler == "handle" else "fork")
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


@pytest.mark.promise("With `--ordered`, the events of a conversation in one topic are handled one at a time")
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
