"""Which workers are alive, as everybody can see: also those that merely wait, on every server."""

import json
import re
import signal
from typing import Any

import pytest
import redis

from abe_redis.streams import names
from tests.command_line import run_command
from tests.hosts.processes import Child, until
from tests.integration.agents import Ask, text_of
from tests.integration.cli.worker_process import GROUP, STREAM, Start, start, wait_until_listening
from tests.integration.conftest import until as until_true

LEASE = {"REDIS_STREAM_LEASE_SECONDS": "3"}

__all__ = ["start"]


@pytest.fixture
def redis_url(either_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every test runs on both servers."""
    monkeypatch.setenv("REDIS_URL", either_url)
    return either_url


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    """Its stream has an event that the group has finished, so that workers have only to wait."""
    client = redis.Redis.from_url(redis_url)
    client.xadd(STREAM, {"data": '{"n": 1}'})
    client.xgroup_create(STREAM, GROUP, "$")
    return client


def consumers() -> list[dict[str, Any]]:
    done = run_command("group", "list", STREAM, "--json")
    assert done.returncode == 0, done.stderr
    (group,) = json.loads(done.stdout)["groups"]
    return list(group["consumers"])


def alive() -> tuple[int, int]:
    found = consumers()
    return sum(one["alive"] for one in found), len(found)


def cell() -> str:
    done = run_command("group", "list", STREAM)
    assert done.returncode == 0, done.stderr
    (row,) = [line for line in done.stdout.splitlines() if GROUP in line]
    return row.split("│")[5].strip()


def signs(client: redis.Redis, count: int) -> None:
    """Wait until each consumer has given so many signs of life more, by what the server says."""

    def idle() -> dict[str, int]:
        return {one["name"]: one["idle"] for one in client.xinfo_consumers(STREAM, GROUP)}

    for _ in range(count):
        before = idle()
        left = set(before)

        def all_again(before: dict[str, int] = before, left: set[str] = left) -> bool:
            for name, now in idle().items():
                if now < before[name]:
                    left.discard(name)
                before[name] = now
            return not left

        until(all_again, "each consumer to give a sign of life")


def is_alive(worker: Child) -> bool:
    """By the name that the worker has logged."""
    named = re.search(r"Consumer '([^']+)' of group", worker.stderr)
    return named is not None and any(one["alive"] for one in consumers() if one["name"] == named[1])


def workers(start: Start, *options: str, count: int = 2, **variables: str) -> list[Child]:
    started = [start("bot:handle", *options, **LEASE, **variables) for _ in range(count)]
    wait_until_listening(*started)
    return started


@pytest.mark.parametrize("options", [(), ("--ordered",)])
def test_workers_that_wait_are_alive_until_they_end_or_die(
    client: redis.Redis, start: Start, options: tuple[str, ...]
) -> None:
    ended, killed, last = workers(start, *options, count=3)
    until(lambda: alive() == (3, 3), "all to be alive")
    signs(client, 3)  # which is longer than a lease
    until(lambda: cell() == "3 of 3", "all to be shown as alive")
    ended.signal(signal.SIGTERM)
    assert ended.wait() == 0, ended.stderr
    assert not is_alive(ended), "not even for another lease"
    until(lambda: alive() == (2, 2), "the others to be alive")
    killed.process.kill()
    until(lambda: not is_alive(killed), "the killed one to be silent after its lease, shorter than ours")
    until(lambda: alive() == (1, 2), "the last one to be alive")
    until(lambda: is_alive(last), "it to give a sign of life")
    assert client.xpending(STREAM, GROUP)["pending"] == 0


def test_workers_of_a_paused_group_are_alive(client: redis.Redis, start: Start) -> None:
    assert run_command("group", "pause", STREAM, GROUP).returncode == 0
    client.xadd(STREAM, {"data": '{"n": 2}'})
    workers(start)
    until(lambda: alive() == (2, 2), "both to be alive")
    signs(client, 2)
    until(lambda: alive() == (2, 2), "both to be alive still")


def test_a_worker_that_comes_again_under_its_name_is_alive(client: redis.Redis, start: Start) -> None:
    """Only a name of its own is taken away when it ends, since another may have a configured one, too."""
    name = {"REDIS_STREAM_CONSUMER": "worker-1"}
    for _ in range(2):
        (worker,) = workers(start, count=1, **name)
        until(lambda: alive() == (1, 1), "it to be alive")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.stderr


async def test_agents_and_stats_say_the_same(client: redis.Redis, start: Start, ask: Ask) -> None:
    workers(start, count=1)
    until(lambda: alive() == (1, 1), "it to be alive")

    def in_stats() -> list[bool]:
        (stats,) = json.loads(run_command("stats", "--json").stdout)["streams"]
        return [one["alive"] for one in stats["groups"][0]["consumers"]]

    async def to_agents() -> bool:
        return ": alive, holds 0" in text_of(await ask("stream_stats", stream=STREAM))

    until(lambda: in_stats() == [True], "stats to show it as alive")
    await until_true(to_agents)


def test_who_ended_with_a_retry_to_come_is_not_alive(client: redis.Redis, start: Start) -> None:
    """The retry is pending under its name until it is due, so that its name stays."""
    client.xadd(STREAM, {"data": '{"n": 2}'})
    delay = ("--retry-first", "3600", "--retry-most", "3600")
    worker = start("bot:fails", *delay, REDIS_STREAM_LEASE_SECONDS="300")
    until(lambda: client.zcard(names.due(STREAM, GROUP)) == 1, "the retry to be postponed")
    until(lambda: is_alive(worker), "it to be alive")
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0, worker.stderr
    assert alive() == (0, 1)
    (group,) = json.loads(run_command("group", "list", STREAM, "--json").stdout)["groups"]
    assert group["alive"] == 0
    assert run_command("stats", STREAM).stdout.count("ended") == 1


def test_in_a_full_server_who_waits_is_alive_and_all_tools_say_when_nobody_is(
    client: redis.Redis, start: Start
) -> None:
    (worker,) = workers(start, count=1)
    until(lambda: alive() == (1, 1), "it to be alive")
    try:
        client.config_set("maxmemory", 1)
        signs(client, 3)  # which is longer than a lease
        until(lambda: alive() == (1, 1), "it to be alive still")
        worker.signal(signal.SIGTERM)
        assert worker.wait() == 0, worker.stderr
        assert not is_alive(worker), "not even for another lease"
        client.config_set("maxmemory", 0)
        client.xadd(STREAM, {"data": '{"n": 2}'})
        client.config_set("maxmemory", 1)
        stats = run_command("stats", STREAM).stdout
        assert "no memory left" in stats
        assert "stalled" in stats
        doctor = run_command("doctor", "--json").stdout
        said = [one for one in json.loads(doctor)["findings"] if one["check"] in {"streams", "holders"}]
        assert [one["command"] for one in said] == [f"abe-redis worker MODULE:HANDLER --group {GROUP}"] * 2
        assert said[0]["severity"] == "problem"
    finally:
        client.config_set("maxmemory", 0)
