"""The doctor: what it finds on a sick server, and nothing on a healthy one."""

import json
import os
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.client.version import OLDEST
from abe_redis.doctor import Finding, Severity, examine
from abe_redis.doctor import server as server_checks
from abe_redis.doctor.context import Context
from abe_redis.doctor.rights import ROLES
from abe_redis.streams import names
from tests.command_line import run_command
from tests.integration.conftest import take_one, until
from tests.servers import Server, Servers

TOPIC = "slack_events"
SECRET = "s3cret-w0rd"
EVENT = {"type": "message", "text": "hello"}


async def found(server: Server, check: str, **settings: Any) -> list[Finding]:
    findings = await examine(Settings(**{"redis_url": server.url} | settings))
    return [finding for finding in findings if finding.check == check]


async def the_only(server: Server, check: str, severity: Severity, **settings: Any) -> Finding:
    (finding,) = await found(server, check, **settings)
    assert finding.severity == severity, finding
    return finding


def sick(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.severity != "ok"]


def send(server: Server, command: str) -> None:
    """What redis-cli does with a command that the doctor shows."""
    with server.admin() as admin:
        admin.execute_command(*command.split())


# --- A healthy server -----------------------------------------------------------------------------------


async def test_a_healthy_server(servers: Servers) -> None:
    server = servers(persistent=True)
    settings = Settings(redis_url=server.url)
    send(server, "CONFIG SET maxmemory 1gb")
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(TOPIC, EVENT)
        await backend.publish("_health_check", {"type": "health_check"})
        events = backend.consume()
        await take_one(events)
        findings = await examine(settings)
    assert sick(findings) == []
    assert list(dict.fromkeys(finding.check for finding in findings)) == [
        *("reachability", "version", "capabilities", "persistence", "eviction", "memory", "replication"),
        *("clients", "clock", "tls", "writing", "keys", "streams", "unread", "rights"),
    ]


async def test_nothing_is_written(servers: Servers) -> None:
    """Neither on a key that exists nor on one that does not, nor by a user for whom ACL DRYRUN is not."""
    server = servers(users={"plain": f"on >{SECRET} ~* +@all -acl"})
    with server.admin() as admin:
        admin.xadd(TOPIC, {"data": "{}"})
        admin.xgroup_create(TOPIC, "default", "0")
        admin.xreadgroup("default", "me", {TOPIC: ">"})
        admin.set("slack:cache", "x")
        before = state(admin)
        for who in ({}, {"redis_username": "plain", "redis_password": SECRET}):
            rights = await found(server, "rights", **who)
            assert [finding.severity for finding in rights] == ["ok"] * len(ROLES)
            assert state(admin) == before


def state(admin: Any) -> Any:
    return [
        (key, admin.dump(key) if admin.type(key) != "stream" else admin.xinfo_stream(key, full=True))
        for key in sorted(admin.keys("*"))
    ]


# --- A sick server --------------------------------------------------------------------------------------


@pytest.mark.promise("`abe-redis doctor` says what is missing")
@pytest.mark.parametrize(
    ("options", "check", "severity", "says"),
    [
        ({"maxmemory-policy": "allkeys-lru"}, "eviction", "problem", "maxmemory-policy allkeys-lru"),
        ({"maxmemory-policy": "volatile-ttl"}, "eviction", "problem", "in silence"),
        ({}, "persistence", "warning", "nothing is written to disk"),
        ({"save": "3600 1"}, "persistence", "warning", "since the last snapshot (appendonly no, save 3600"),
        (
            {"appendonly": "yes", "appendfsync": "everysec"},
            "persistence",
            "warning",
            "the last second of acknowledged events (appendfsync everysec)",
        ),
    ],
)
async def test_a_setting_and_its_cure(
    servers: Servers, options: dict[str, str], check: str, severity: Severity, says: str
) -> None:
    server = servers(options=options)
    finding = await the_only(server, check, severity)
    assert says in finding.found
    assert finding.advice
    send(server, finding.command)
    await the_only(server, check, "ok")


async def test_a_snapshot_that_failed(servers: Servers) -> None:
    server = servers(persistent=True)
    (server.directory / "dump.rdb").mkdir()
    with server.admin() as admin:
        admin.bgsave()

        async def failed() -> bool:
            return bool(admin.info("persistence")["rdb_last_bgsave_status"] == "err")

        await until(failed)
    first, _ = await found(server, "persistence")
    assert first.severity == "problem"
    assert "snapshot (RDB) failed" in first.found


@pytest.mark.parametrize(("part", "severity"), [(0.5, "ok"), (0.87, "warning"), (0.98, "problem")])
async def test_memory_that_runs_out(servers: Servers, part: float, severity: Severity) -> None:
    server = servers()
    with server.admin() as admin:
        admin.setrange("other", 20_000_000, "x")
        admin.config_set("maxmemory", round(admin.info("memory")["used_memory"] / part))
    assert "MiB used (maxmemory)" in (await the_only(server, "memory", severity)).found


async def test_the_doctor_names_what_holds_memory_and_the_command_that_frees_it(servers: Servers) -> None:
    server = servers()
    with server.admin() as admin:
        for stream, size in (("slack:finished", 3000), ("slack:left", 2000), ("slack:unread", 1000)):
            for _ in range(100):
                admin.xadd(stream, {"data": "x" * size})
        for stream in ("slack:finished", "slack:left"):
            admin.xgroup_create(stream, "bot", "0")
        rows = admin.xreadgroup("bot", "c", {"slack:finished": ">"})[0][1]
        admin.xack("slack:finished", "bot", *[entry_id for entry_id, _ in rows])
        admin.xadd(names.dead_letters("slack:left"), {"data": "x" * 500})
        assert await found(server, "holders") == [], "there is memory enough"
        admin.config_set("maxmemory", round(admin.info("memory")["used_memory"] / 0.9))
        findings = await found(server, "holders")
        assert len(findings) == 4, findings
        assert [(one.found, one.command) for one in findings] == [
            (findings[0].found, f"XTRIM slack:finished MINID {rows[-1][0]}"),
            (findings[1].found, "abe-redis group remove slack:left bot --force"),
            (findings[2].found, "abe-redis dead purge slack:left --older-than 7d"),
            (findings[3].found, ""),
        ]
        for finding, says in zip(
            findings,
            (
                "Stream 'slack:finished' holds 0.3 MiB in 100 entries.",
                "'slack:left' holds 0.2 MiB in 100 entries; group 'bot' has 0 pending and 100 undelivered.",
                "The dead letters of 'slack:left' hold 0.0 MiB in 1 entries.",
                "'slack:unread' holds 0.1 MiB in 100 entries, and no group reads it.",
            ),
            strict=True,
        ):
            assert says in finding.found
            assert finding.advice
        send(server, findings[0].command)
        assert admin.xlen("slack:finished") == 1
        admin.xgroup_create("slack:unread", "bot", "0")
        admin.xreadgroup("bot", "c", {"slack:unread": ">"}, count=1)
        admin.config_set("maxmemory", round(admin.info("memory")["used_memory"] / 0.9))
        (busy,) = [one for one in await found(server, "holders") if "slack:unread" in one.found]
        assert "Add consumers" in busy.advice
        admin.flushall()
        admin.config_set("maxmemory", 0)
        admin.setrange("other", 5_000_000, "x")  # no large command, whose buffer the server frees later
        admin.config_set("maxmemory", round(admin.info("memory")["used_memory"] / 0.9))
        assert (await found(server, "holders"))[0].command == "redis-cli --bigkeys"


@pytest.mark.parametrize(("clients", "severity"), [(2, "ok"), (16, "warning"), (19, "problem")])
async def test_connections_that_run_out(servers: Servers, clients: int, severity: Severity) -> None:
    server = servers(options={"maxclients": "20"})
    others = [server.admin() for _ in range(clients)]
    for other in others:
        other.ping()
    assert f"{clients + 1} of 20" in (await the_only(server, "clients", severity)).found
    for other in others:
        other.close()


async def test_a_server_that_is_too_old(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    server = servers()
    for kind in ("Redis", "Valkey"):
        monkeypatch.setitem(OLDEST, kind, (99, 1))
    finding = await the_only(server, "version", "problem")
    assert "99.1 or newer" in finding.advice


async def test_replicas_that_are_waited_for_in_vain(servers: Servers) -> None:
    primary = servers()
    finding = next(
        one
        for one in await found(primary, "replication", redis_wait_replicas=1)
        if "REDIS_WAIT_REPLICAS" in one.found
    )
    assert finding.severity == "problem"


async def test_a_replica(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    primary = servers(options={"repl-diskless-sync-delay": "0"})
    replica = servers(options={"replicaof": f"127.0.0.1 {primary.port}"})
    finding = await the_only(replica, "replication", "problem")
    assert f"127.0.0.1:{primary.port}" in finding.advice

    async def keeps_up() -> bool:
        (finding,) = await found(primary, "replication")
        return finding.severity == "ok" and "(1)" in finding.found

    await until(keeps_up)
    monkeypatch.setattr(server_checks, "_LAG_SECONDS", 1)
    replica.freeze()

    async def is_behind() -> list[Finding]:
        return sick(await found(primary, "replication"))

    (finding,) = await until(is_behind)
    assert f"Replica 127.0.0.1:{replica.port}" in finding.found


async def test_clocks_that_differ(redis_url: str, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    monkeypatch.setattr("abe_redis.doctor.server.time.time", lambda: now() - 60)
    finding = await the_only(server, "clock", "warning")
    seconds = re.search(r"([\d.]+) s ahead of", finding.found)
    assert seconds is not None, finding.found
    assert 30 < float(seconds[1]) < 90, "as exact as the answer came quickly"


@pytest.mark.parametrize(
    ("url", "severity"),
    [
        ("redis://redis.example.com:6379/0", "warning"),
        ("redis://10.0.0.7", "warning"),
        ("rediss://redis.example.com", "ok"),
        ("redis://localhost", "ok"),
        ("redis://[::1]:6379", "ok"),
        ("unix:///run/redis.sock", "ok"),
    ],
)
async def test_a_connection_in_the_open(url: str, severity: Severity) -> None:
    (finding,) = [one async for one in server_checks.tls(Context(Settings(redis_url=url), Redis()))]
    assert finding.severity == severity


@pytest.mark.parametrize(
    ("url", "advice"),
    [
        ("redis://localhost", "Use rediss:// in REDIS_URL"),
        ("redis://10.0.0.7", "Use rediss:// in REDIS_URL"),
        ("unix:///run/redis.sock", "Unset it."),
        ("rediss://localhost", None),
    ],
)
async def test_files_for_tls_that_no_connection_uses(url: str, advice: str | None) -> None:
    settings = Settings(redis_url=url, redis_ssl_ca_certs="ca.pem", redis_ssl_certfile="mine.pem")
    findings = [one async for one in server_checks.tls(Context(settings, Redis()))]
    said = [one for one in findings if "no effect" in one.found]
    if advice is None:
        assert said == []
        return
    (finding,) = said
    assert finding.severity == "warning"
    assert finding.found.startswith(
        "REDIS_SSL_CA_CERTS and REDIS_SSL_CERTFILE have no effect: the connection"
    )
    assert finding.advice.startswith(advice)


# --- A server that cannot be reached, or does not answer everything -------------------------------------


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("redis://app:{secret}@127.0.0.1:1/0", "could not be reached"),
        ("redis://:{secret}@127.0.0.1:{port}/0", "refused the user name or password"),
        ("redis+cluster://:{secret}@h.invalid:1", "no node of the cluster could be asked"),
    ],
)
async def test_a_server_out_of_reach(make_server: Servers, url: str, says: str) -> None:
    server = make_server(users={"default": "off"})
    (finding,) = await examine(Settings(redis_url=url.format(secret=SECRET, port=server.port)))
    assert (finding.check, finding.severity) == ("reachability", "problem")
    assert says in finding.found
    assert SECRET not in finding.model_dump_json()


async def test_the_outbox_is_looked_at_while_redis_is_away(own_server: Server, tmp_path: Path) -> None:
    settings = Settings(redis_url=own_server.url, redis_outbox=tmp_path / "outbox")

    async def found() -> dict[str, str]:
        return {one.check: f"{one.severity}: {one.found}" for one in await examine(settings)}

    assert (await found())["outbox"].startswith("ok: Nothing waits in")
    own_server.stop()
    backend = RedisMessageQueueBackend(settings)
    for number in range(2):
        await backend.publish("slack_events", {"n": number})
    await backend.close()
    away = await found()
    assert set(away) == {"reachability", "outbox"}
    assert away["outbox"].startswith("warning: 2 events wait in")
    own_server.start()
    assert (await found())["outbox"].startswith("warning: 2 events wait in"), "nobody has delivered them"


async def test_a_server_that_stops_answering(own_server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    own_server.freeze()
    monkeypatch.setattr("abe_redis.client.topology.node.ANSWER_SECONDS", 0.3)
    (finding,) = await examine(Settings(redis_url=own_server.url))
    assert "could not be reached" in finding.found


async def test_a_user_who_may_not_ask(servers: Servers) -> None:
    server = servers(users={"observer": f"on >{SECRET} ~* +@read +@connection -@dangerous"})
    who = {"redis_username": "observer", "redis_password": SECRET}
    for check in ("version", "persistence", "eviction", "memory", "replication", "clients", "clock"):
        finding = await the_only(server, check, "warning", **who)
        lacking = "+time" if check == "clock" else "+info"
        assert f"this user may not ask; it lacks {lacking}." in finding.found
    for check in ("keys", "streams", "unread"):
        await the_only(server, check, "ok", **who)
    for finding in await found(server, "rights", **who):
        assert finding.severity == "problem", "it can play none of the parts"
        assert "lacks +" in finding.found
        assert "+time" in finding.command
    assert SECRET not in repr(await examine(Settings(redis_url=server.url, **who)))


async def test_a_user_who_may_not_ask_for_settings(servers: Servers) -> None:
    server = servers(persistent=True)
    with server.admin() as admin:
        admin.execute_command("ACL", "SETUSER", "default", "-config")
    await the_only(server, "persistence", "warning")
    await the_only(server, "eviction", "ok")


# --- The queue ------------------------------------------------------------------------------------------


async def test_a_key_of_another_type(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        admin.set(TOPIC, "x")
        admin.set("slack:cache", "x")  # matches a glob, and does no harm
    finding = await the_only(server, "keys", "problem")
    assert f"{TOPIC!r} is a string" in finding.found


async def test_faults_of_a_stream_are_found(redis_url: str, server: Server) -> None:
    lease = {"redis_stream_lease_seconds": 0.5}
    with server.admin() as admin:
        for _ in range(3):
            admin.xadd(TOPIC, {"data": "{}"})
        finding = await the_only(server, "streams", "warning", **lease)
        assert finding.found == "Stream 'slack_events' with 3 entries: unread."

        admin.xgroup_create(TOPIC, "odd group\n", "0")
        stalled, idle = await found(server, "streams", **lease)
        assert stalled.severity == "problem"
        assert "no consumer is alive: start one" in stalled.advice
        assert "not trimmed until it has been unused for 7 days" in idle.found
        assert idle.command == r"abe-redis group remove slack_events $'odd\x20group\x0a' --force"

        admin.xreadgroup("odd group\n", "gone", {TOPIC: ">"})
        await anyio.sleep(0.6)
        _, gone, _ = await found(server, "streams", **lease)
        assert gone.severity == "warning"
        assert "Consumer 'gone'" in gone.found
        assert "holds 3 events" in gone.found

        few_above = await found(server, "streams", **lease | {"redis_stream_maxlen": 1})
        assert not [one for one in few_above if "bound" in one.found]


async def test_a_backlog(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        for long_ago in ("1-1", "1-2"):
            admin.xadd(TOPIC, {"data": "{}"}, id=long_ago)
        admin.xgroup_create(TOPIC, "default", "0")
        admin.xreadgroup("default", "me", {TOPIC: ">"}, count=1)
    finding = await the_only(server, "streams", "warning")
    assert finding.found.endswith(": backlog.")
    assert "add consumers" in finding.advice


async def test_a_stream_over_its_bound(redis_url: str, server: Server) -> None:
    bound = {"redis_stream_maxlen": 100}
    with server.admin() as admin:
        for _ in range(301):
            admin.xadd(TOPIC, {"data": "{}"})
        admin.xgroup_create(TOPIC, "slow", "0")
        admin.xreadgroup("slow", "me", {TOPIC: ">"}, count=1)
        working, over = await found(server, "streams", **bound)
        assert working.severity == "ok"
        assert "'slow' has not finished them" in over.found
        assert over.severity == "warning"
        admin.xgroup_destroy(TOPIC, "slow")
        admin.xgroup_create(TOPIC, "done", "$")
        _, over = await found(server, "streams", **bound)
        assert "nobody has trimmed it" in over.found


async def test_dead_letters(redis_url: str, server: Server) -> None:
    with server.admin() as admin:
        admin.xadd(TOPIC, {"data": "{}"})
        admin.xgroup_create(TOPIC, "default", "$")
        admin.xadd(f"dead:{{{TOPIC}}}", {"data": "{}"})
    finding = await the_only(server, "streams", "warning")
    assert "1 dead letter:" in finding.advice


@pytest.mark.parametrize("stream", ["elsewhere", "team:{a}:b", "event:x"])
async def test_a_stream_that_nobody_reads(redis_url: str, server: Server, stream: str) -> None:
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url)) as backend:
        await backend.publish(stream, EVENT)
        await backend.publish(stream, {"type": "event_callback", "event_id": "Ev1", "event": EVENT})
        await backend.publish(TOPIC, EVENT)
    finding = await the_only(server, "unread", "warning")
    assert repr(stream) in finding.found
    assert "REDIS_STREAM_PATTERNS" in finding.advice
    await the_only(server, "unread", "ok", redis_stream_patterns=stream, slack_events_topic=TOPIC)
    with server.admin() as admin:
        admin.xgroup_create(stream, "others", "0")
    await the_only(server, "unread", "ok")


# --- The command ----------------------------------------------------------------------------------------


def run(server: Server, *arguments: str) -> subprocess.CompletedProcess[str]:
    url = server.url.replace("redis://", f"redis://default:{SECRET}@")
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    return run_command("doctor", *arguments, env=variables | {"REDIS_URL": url})


def test_the_doctor_command_lists_the_worst_first_and_exits_with_1(make_server: Servers) -> None:
    server = make_server(persistent=True, users={"default": f"on >{SECRET} ~* &* +@all"})
    send(server, "CONFIG SET maxmemory 1gb")
    healthy = run(server)
    assert healthy.returncode == 0, healthy.stdout
    assert healthy.stdout.rstrip().endswith("0 problems, 0 warnings, 18 ok.")
    with server.admin() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lfu")
    sick = run(server)
    assert sick.returncode == 1
    first, *lines = sick.stdout.splitlines()
    assert first.startswith("problem  eviction ")
    assert "CONFIG SET maxmemory-policy noeviction" in [line.strip() for line in lines]
    for line in (first, *lines):
        assert len(line) <= (100 if line.strip().startswith("ACL SETUSER") else 80)
        assert line == line.rstrip()
    found = run(server, "--json")
    assert found.returncode == 1
    findings = [Finding.model_validate(one) for one in json.loads(found.stdout)]
    assert [one.check for one in findings if one.severity == "problem"] == ["eviction"]
    for result in (healthy, sick, found):
        assert SECRET not in result.stdout + result.stderr
        assert "\x1b" not in result.stdout
        assert result.stderr == ""
    assert "Example: abe-redis doctor" in run(server, "--help").stdout


@pytest.mark.parametrize(
    ("release", "is_named"),
    [("1.17.2", True), ("1.18.0", False), ("1.30.1", False), ("2.0.0", True), (None, False)],
)
async def test_a_bolt_that_is_not_supported_is_named(
    release: str | None, is_named: bool, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.runtime.bolt_releases.installed", lambda: release)
    found = [one for one in await examine(Settings(redis_url=redis_url)) if one.check == "bolt"]
    assert [one.severity for one in found] == ["warning"] * is_named
    assert all(str(release) in one.found for one in found)
