"""What the doctor finds on a sick server, and nothing on a healthy one."""

import re
import time
from typing import Any

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.client.version import OLDEST
from abe_redis.doctor import Finding, Severity, examine
from abe_redis.doctor import server as server_checks
from abe_redis.doctor.rights import ROLES
from abe_redis.streams import names
from tests.integration.conftest import take_one, until
from tests.integration.doctor.findings import EVENT, SECRET, TOPIC, found, send, sick, the_only
from tests.servers import Server, Servers

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


def overfill(server: Server) -> None:
    """Set a limit that the server stays beyond, also when it later frees the buffers of what it was sent."""
    with server.admin() as admin:
        admin.config_set("maxmemory", admin.info("memory")["used_memory"] // 2)


async def test_the_doctor_names_what_holds_memory_and_the_command_that_frees_it(servers: Servers) -> None:
    server = servers()
    with server.admin() as admin:
        for stream, size in (("slack:finished", 3000), ("slack:left", 2000), ("slack:unread", 1000)):
            for _ in range(1000):
                admin.xadd(stream, {"data": "x" * size})
        for stream in ("slack:finished", "slack:left"):
            admin.xgroup_create(stream, "bot", "0")
        rows = admin.xreadgroup("bot", "c", {"slack:finished": ">"})[0][1]
        admin.xack("slack:finished", "bot", *[entry_id for entry_id, _ in rows])
        admin.xadd(names.dead_letters("slack:left"), {"data": "x" * 1_000_000})
        admin.xadd("slack:little", {"data": "x"})
        admin.xadd(names.dead_letters("slack:little"), {"data": "x"})
        assert await found(server, "holders") == [], "there is memory enough"
        overfill(server)
        findings = await found(server, "holders")
        assert len(findings) == 4, findings
        assert [(one.found, one.command) for one in findings] == [
            (findings[0].found, f"XTRIM slack:finished MINID {rows[-1][0]}"),
            (findings[1].found, "abe-redis worker MODULE:HANDLER --group bot"),
            (findings[2].found, "abe-redis dead purge slack:left --older-than 7d"),
            (findings[3].found, "abe-redis worker MODULE:HANDLER --group GROUP"),
        ]
        for finding, says in zip(
            findings,
            (
                "Stream 'slack:finished' holds MiB in 1000 entries.",
                "'slack:left' holds MiB in 1000 entries; group 'bot' has 0 pending and 1000 undelivered.",
                "The dead letters of 'slack:left' hold MiB in 1 entry.",
                "'slack:unread' holds MiB in 1000 entries, and no group reads it.",
            ),
            strict=True,
        ):
            assert says in re.sub(r"\d+\.\d MiB", "MiB", finding.found)
            assert finding.advice
        send(server, findings[0].command)
        assert admin.xlen("slack:finished") == 1
        admin.config_set("maxmemory", 0)
        admin.xgroup_create("slack:unread", "bot", "0")
        admin.xreadgroup("bot", "c", {"slack:unread": ">"}, count=1)
        overfill(server)
        (busy,) = [one for one in await found(server, "holders") if "slack:unread" in one.found]
        assert "Add consumers" in busy.advice
        admin.flushall()
        admin.config_set("maxmemory", 0)
        admin.setrange("other", 5_000_000, "x")
        overfill(server)
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


@pytest.mark.promise("the same, `appendonly no`: as above, and when the primary alone is started again")
@pytest.mark.promise("A primary without it that a supervisor starts")
@pytest.mark.promise("Its replicas copy that")
@pytest.mark.promise("`abe-redis doctor` warns of such a primary")
async def test_a_primary_without_a_disk_that_starts_again_empties_its_replicas(servers: Servers) -> None:
    primary = servers(options={"repl-diskless-sync-delay": "0"})
    replica = servers(options={"replicaof": f"127.0.0.1 {primary.port}"})

    async def keeps_up() -> bool:
        return "Replicas: one that keeps up." in (await found(primary, "replication"))[0].found

    await until(keeps_up)
    async with RedisMessageQueueBackend(Settings(redis_url=primary.url, redis_wait_replicas=1)) as backend:
        await backend.publish(TOPIC, EVENT)
    for waited_for, severity in ((0, "warning"), (1, "problem")):
        (finding,) = sick(await found(primary, "persistence", redis_wait_replicas=waited_for))
        assert finding.severity == severity
        assert "on its replicas too" in finding.found
    with replica.admin() as admin:
        assert admin.xlen(TOPIC) == 1
        primary.kill()
        primary.start()

        async def is_empty() -> bool:
            return bool(admin.dbsize() == 0)

        await until(is_empty)
    send(primary, finding.command)
    await the_only(primary, "persistence", "ok")


async def test_a_replica(servers: Servers, monkeypatch: pytest.MonkeyPatch) -> None:
    primary = servers(options={"repl-diskless-sync-delay": "0"})
    replica = servers(options={"replicaof": f"127.0.0.1 {primary.port}"})
    finding = await the_only(replica, "replication", "problem")
    assert f"127.0.0.1:{primary.port}" in finding.advice

    async def keeps_up() -> bool:
        (finding,) = await found(primary, "replication")
        return finding.severity == "ok" and "one that keeps up" in finding.found

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
