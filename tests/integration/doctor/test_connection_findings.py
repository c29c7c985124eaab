"""What the doctor finds about the way to a server: in the open, out of reach, without the right to ask."""

from pathlib import Path

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor import Severity, examine
from abe_redis.doctor import server as server_checks
from abe_redis.doctor.context import Context
from tests.integration.doctor.findings import SECRET, found, the_only
from tests.servers import Server, Servers


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
