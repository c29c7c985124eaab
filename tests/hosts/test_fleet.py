"""abe-redis 0.1.0 and ours in one fleet, on one Redis: while an upgrade is under way."""

import signal
from collections.abc import Callable

import pytest

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.processes import Child, until
from tests.hosts.test_slack_mcp import PEER, event_ids, left_over
from tests.servers import Server

STREAM, GROUP = "slack:events", "workers"  # 0.1.0 reads no other kind of name
OLD, OURS = "0.1.0", "ours"

type Run = Callable[..., Child]

pytestmark = pytest.mark.one_server  # 0.1.0 knows no other topology


@pytest.fixture
def run(start: Start, redis_url: str) -> Run:
    """Starts a process of a release that publishes or consumes."""

    def of(release: str, *arguments: str, lease: int = 3) -> Child:
        variables = {"REDIS_URL": redis_url, "REDIS_STREAM_LEASE_SECONDS": str(lease)}
        if release == OURS:
            return start(environments.slack_mcp(), PEER, *arguments, variables=variables, forked=True)
        backend = "abe_plugin.backends.message_queue.service.redis:RedisMessageQueueBackend"
        host = environments.abe_redis_of_old()
        return start(host, PEER, "--backend", backend, *arguments, variables=variables, forked=True)

    return of


def consumers(server: Server) -> int:
    with server.admin() as client:
        return len(client.xinfo_consumers(STREAM, GROUP)) if client.exists(STREAM) else 0


def is_finished(server: Server) -> bool:
    with server.admin() as client:
        return left_over(client, STREAM, GROUP) == 0


def test_both_publish_and_both_consume(server: Server, run: Run) -> None:
    consume = ("consume", "--style", "plain", "--group", GROUP)
    assert run(OURS, "publish", STREAM, "first").wait() == 0
    workers = {OURS: run(OURS, *consume, lease=60)}  # nobody takes over what stands still for a while
    until(lambda: event_ids(workers[OURS]) == ["first"], "ours to consume")
    workers[OLD] = run(OLD, *consume, lease=60)
    until(lambda: consumers(server) == 2, "both to consume")

    published = ["first"]

    def seen() -> set[tuple[str, str]]:
        """Which release got something of which."""
        return {
            (release, event_id.partition("-")[0])
            for release, worker in workers.items()
            for event_id in event_ids(worker)
            if event_id != "first"
        }

    for number in range(20):
        batches = {one: [f"{one}-{number}-{event}" for event in range(50)] for one in (OLD, OURS)}
        publishers = [run(one, "publish", STREAM, *batch) for one, batch in batches.items()]
        assert [publisher.wait() for publisher in publishers] == [0, 0]
        published += batches[OLD] + batches[OURS]
        if len(seen()) == 4:
            break
    until(lambda: len(event_ids(*workers.values())) >= len(published), "all to be handled")
    until(lambda: is_finished(server), "all to be finished")
    assert sorted(event_ids(*workers.values())) == sorted(published), "each once, none lost"
    assert len(seen()) == 4, "either reads what either writes"
    for worker in workers.values():
        worker.signal(signal.SIGTERM)


def test_ours_takes_over_what_the_old_one_had_not_acknowledged(server: Server, run: Run) -> None:
    consume = ("consume", "--style", "plain", "--group", GROUP)
    assert run(OURS, "publish", STREAM, "first").wait() == 0
    ours = run(OURS, *consume)
    until(lambda: event_ids(ours) == ["first"], "ours to make the group")
    ours.signal(signal.SIGTERM)
    assert ours.wait() == 0

    old = run(OLD, *consume, "--ending", "hang")
    until(lambda: consumers(server) >= 1, "the old one to consume")
    published = [f"Ev{number}" for number in range(8)]
    assert run(OLD, "publish", STREAM, *published).wait() == 0
    until(lambda: event_ids(old), "the old one to work on an event")
    old.signal(signal.SIGKILL)
    old.wait()

    ours = run(OURS, *consume)
    until(lambda: is_finished(server), "ours to finish the rest")
    # The one in its hand it had acknowledged before it worked on it.
    assert sorted(event_ids(ours)) == sorted({*published} - {*event_ids(old)})


def test_events_of_our_dead_process_go_to_our_next_one(server: Server, run: Run) -> None:
    """A dead process of ours leaves nothing behind, though the old one, which stays, takes nothing over."""
    consume = ("consume", "--style", "plain", "--group", GROUP)
    assert run(OURS, "publish", STREAM, "in hand").wait() == 0
    ours = run(OURS, *consume, "--ending", "hang")
    until(lambda: event_ids(ours) == ["in hand"], "ours to work on it")
    old = run(OLD, *consume)
    until(lambda: consumers(server) == 2, "both to consume")
    ours.signal(signal.SIGKILL)
    ours.wait()
    assert run(OLD, "publish", STREAM, "behind").wait() == 0
    until(lambda: "behind" in event_ids(old), "the old one to go on")
    heir = run(OURS, *consume)
    until(lambda: event_ids(heir) == ["in hand"], "ours to take over what ours had")
    until(lambda: is_finished(server), "all to be finished")
    assert event_ids(old) == ["behind"]
