"""The end of `abe-redis worker`: by SIGTERM and by SIGKILL, with handlers at work, hanging and idle."""

import signal
import time

import pytest

from tests.hosts.processes import until
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

SLACK = 30.0
"""Seconds by which a loaded machine may be late."""


def idle_ms(server: Server) -> int:
    """The time since the lease of the only event was renewed."""
    with server.admin() as client:
        (row,) = client.xpending_range(STREAM, GROUP, "-", "+", 10)
    return int(row["time_since_delivered"])


def is_given_back(server: Server) -> bool:
    """Whether whoever looks next takes the event: its lease has ended long ago."""
    return idle_ms(server) > 1_000_000_000


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


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["TERM", "HUP"])
def test_a_handler_that_runs_past_its_deadline_is_cancelled_and_its_event_redelivered(
    queue: Server, start: Start, number: signal.Signals
) -> None:
    publish(queue, {"n": 1})
    first = start("bot:endless", "--drain", "0.5")
    wait_until_said(first, "started")
    first.signal(number)
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
@pytest.mark.parametrize("options", [(), ("--timeout", "0.2")], ids=["without limit", "beyond its limit"])
def test_a_thread_that_goes_on_does_not_hold_up_the_end(
    queue: Server, start: Start, handler: str, options: tuple[str, ...]
) -> None:
    publish(queue, {"n": 1})
    worker = start(f"bot:{handler}", "--drain", "0.1", "--view", "envelope", *options)
    wait_until_said(worker, "started")
    if options:
        wait_for_log(worker, "beyond its limit" if handler == "blocking" else "TimeoutError")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert "the process ends without waiting for it" in worker.stderr
    if "TimeoutError" in worker.stderr:
        return  # a coroutine ends at its limit, so its event waits for its retry
    assert f"The handler bot.{handler} of " in worker.stderr
    is_known = handler == "blocking"
    assert f"{int(not is_known)} given back" in worker.stderr
    assert is_given_back(queue) is not is_known, "what its function still works on comes after its lease"


def test_an_idle_worker_ends_at_once(queue: Server, start: Start) -> None:
    publish(queue, {"n": 1})
    worker = start("bot:handle")
    until(lambda: left(queue) == 0 if held(queue) else None, "the event to be acknowledged")
    end(worker)
    assert held(queue) == {}, "it has left its group"
    lines = [line for line in worker.stderr.splitlines() if " WARNING " not in line]  # as of a slow machine
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
    lease = 9  # from a renewal on, a busy machine may let a process stand still for two thirds of it
    variables = {"REDIS_STREAM_LEASE_SECONDS": str(lease)}
    workers = [start("bot:endless_at_first", "--view", "envelope", **variables) for _ in range(2)]
    wait_until_listening(*workers)
    publish(queue, {"n": 1})
    until(lambda: any(said(worker, "started") for worker in workers), "one of them to begin")
    victim, heir = sorted(workers, key=lambda worker: not said(worker, "started"))
    for _ in range(2):
        before = idle_ms(queue)
        until(lambda: idle_ms(queue) < before, "its lease to be renewed")  # noqa: B023
    assert said(heir, "started") == [], "the lease of a process that lives is renewed"
    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    (again,) = wait_until_said(heir, "started")
    assert again["deliveries"] == 2
    assert again["at"] - killed <= lease + 2 + SLACK
    until(lambda: left(queue) == 0, "it to be acknowledged")
    end(heir)
