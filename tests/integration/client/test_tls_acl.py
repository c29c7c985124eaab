"""TLS with client certificates, ACL users, and what never becomes visible of a secret.

Against the system's redis-server: the bundled one is built without TLS.
"""

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest
import trustme

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import AbeRedisError, RedisRefusedError, RedisUnavailableError, SettingsError
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.server import make_server
from tests.patience import PATIENCE
from tests.servers import HOST, Certificates, Server, Servers

TOPIC = "slack_events"
USER, SECRET = "app", "s3cret/with:odd@characters"
# What abe-redis needs of a server, and nothing else.
RIGHTS = "~slack:* ~slack_events ~abe:* ~dead:* +@read +@write +@scripting +@connection +time"


def payload(event_id: str) -> dict[str, Any]:
    return {"type": "event_callback", "event_id": event_id, "event": {"type": "message", "text": event_id}}


async def pending(backend: RedisMessageQueueBackend) -> list[int]:
    stats = await Operations(backend).stream_stats(stream=TOPIC)
    return [group.pending for group in stats.streams[0].groups]


async def round_trip(settings: Settings) -> None:
    """Publish, consume and acknowledge."""
    async with RedisMessageQueueBackend(settings) as backend:
        await backend.publish(TOPIC, payload("Ev1"))
        await backend.publish(TOPIC, payload("Ev2"))
        events = backend.consume()
        with anyio.fail_after(PATIENCE):
            assert await anext(events) == payload("Ev1")
            assert await anext(events) == payload("Ev2")  # asking for it acknowledged the one before
        with anyio.fail_after(PATIENCE):  # an ack waits some milliseconds for others
            while await pending(backend) != [1]:
                await anyio.sleep(0.01)


async def failure(settings: Settings) -> AbeRedisError:
    """The error of a call that cannot succeed; it is tried once, where a publish is tried for a while."""
    async with RedisMessageQueueBackend(settings) as backend:
        with pytest.raises(AbeRedisError) as caught:
            await Operations(backend).read_stream(stream=TOPIC)
        return caught.value


# --- TLS ----------------------------------------------------------------------------------------------


@pytest.fixture
def tls_server(debian_redis: Servers) -> Server:
    return debian_redis(tls=True)


@pytest.fixture
def certificates(tls_server: Server) -> Certificates:
    assert tls_server.certificates is not None
    return tls_server.certificates


def with_certificates(certificates: Certificates) -> dict[str, Path]:
    return {
        "redis_ssl_ca_certs": certificates.ca,
        "redis_ssl_certfile": certificates.client_cert,
        "redis_ssl_keyfile": certificates.client_key,
    }


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_rediss_with_a_client_certificate(
    tls_server: Server, certificates: Certificates, host: str
) -> None:
    assert tls_server.url.startswith("rediss://")
    url = tls_server.url.replace(HOST, host)
    await round_trip(Settings(redis_url=url, **with_certificates(certificates)))


async def test_redis_ssl_turns_redis_into_tls(tls_server: Server, certificates: Certificates) -> None:
    url = tls_server.url.replace("rediss://", "redis://")
    await round_trip(Settings(redis_url=url, redis_ssl=True, **with_certificates(certificates)))


async def test_without_tls_a_tls_port_is_unavailable(tls_server: Server) -> None:
    url = tls_server.url.replace("rediss://", "redis://")
    error = await failure(Settings(redis_url=url))
    assert isinstance(error, RedisUnavailableError)


@pytest.mark.promise("always verifies the certificate and the host name")
async def test_an_authority_that_is_not_trusted(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    others = Certificates.make(tmp_path)
    settings = with_certificates(replace(certificates, ca=others.ca))
    error = await failure(Settings(redis_url=tls_server.url, **settings))
    assert "certificate verify failed" in str(error)
    assert "Set REDIS_SSL_CA_CERTS to the file of the authority" in str(error)
    # Without an authority of our own it is the system's that count.
    error = await failure(Settings(redis_url=tls_server.url, **settings | {"redis_ssl_ca_certs": None}))
    assert "certificate verify failed" in str(error)


async def test_a_client_certificate_that_is_missing(tls_server: Server, certificates: Certificates) -> None:
    error = await failure(Settings(redis_url=tls_server.url, redis_ssl_ca_certs=certificates.ca))
    assert isinstance(error, RedisUnavailableError)
    assert "if it asks for a client certificate, REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE" in str(error)


async def test_a_client_certificate_of_another_authority(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    others = Certificates.make(tmp_path)
    error = await failure(
        Settings(redis_url=tls_server.url, **with_certificates(replace(others, ca=certificates.ca)))
    )
    assert isinstance(error, RedisUnavailableError)
    assert "if it asks for a client certificate, REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE" in str(error)


@pytest.mark.promise("always verifies the certificate and the host name")
async def test_a_certificate_for_another_host(debian_redis: Servers, tmp_path: Path) -> None:
    authority = trustme.CA()
    issued = authority.issue_cert("elsewhere.test")
    ca, cert, key = (tmp_path / name for name in ("ca.pem", "cert.pem", "key.pem"))
    authority.cert_pem.write_to_path(ca)
    issued.cert_chain_pems[0].write_to_path(cert)
    issued.private_key_pem.write_to_path(key)
    server = debian_redis(
        tls=True,
        options={
            "tls-ca-cert-file": str(ca),
            "tls-cert-file": str(cert),
            "tls-key-file": str(key),
            "tls-auth-clients": "no",
        },
    )
    error = await failure(Settings(redis_url=server.url, redis_ssl_ca_certs=ca))
    assert "certificate verify failed: IP address mismatch" in str(error)


@pytest.mark.parametrize("name", ["redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile"])
async def test_a_file_that_is_not_there(
    tls_server: Server, certificates: Certificates, name: str, tmp_path: Path
) -> None:
    settings = with_certificates(certificates) | {name: tmp_path / "nothing.pem"}
    error = await failure(Settings(redis_url=tls_server.url, **settings))
    assert isinstance(error, SettingsError)
    assert str(error) == f"{name.upper()} names '{tmp_path / 'nothing.pem'}', which is not a file."


async def test_files_that_do_not_belong_together(
    tls_server: Server, certificates: Certificates, tmp_path: Path
) -> None:
    others = Certificates.make(tmp_path)
    for wrong in (
        replace(certificates, client_key=others.client_key),
        replace(certificates, client_cert=certificates.client_key),
    ):
        error = await failure(Settings(redis_url=tls_server.url, **with_certificates(wrong)))
        assert isinstance(error, SettingsError)
        assert "REDIS_SSL_CERTFILE" in str(error)
    (tmp_path / "not.pem").write_text("no certificate")
    wrong = replace(certificates, ca=tmp_path / "not.pem")
    error = await failure(Settings(redis_url=tls_server.url, **with_certificates(wrong)))
    assert isinstance(error, SettingsError)
    assert "REDIS_SSL_CA_CERTS" in str(error)


# --- Users --------------------------------------------------------------------------------------------


@pytest.fixture
def acl_server(debian_redis: Servers) -> Server:
    """A server where nobody gets in without a password, and nobody may do more than their work."""
    users = {
        "default": "off",
        USER: f"on >{SECRET} {RIGHTS}",
        "reader": f"on >{SECRET} ~* +@read +@connection",
    }
    return debian_redis(users=users)


def as_url(server: Server, user: str, password: str) -> dict[str, Any]:
    credentials = f"{quote(user, safe='')}:{quote(password, safe='')}@"
    return {"redis_url": server.url.replace("redis://", f"redis://{credentials}")}


def as_variables(server: Server, user: str, password: str) -> dict[str, Any]:
    return {"redis_url": server.url, "redis_username": user, "redis_password": password}


type Written = Callable[[Server, str, str], dict[str, Any]]
both_ways = pytest.mark.parametrize("written", [as_url, as_variables])


@both_ways
async def test_a_user_with_a_password(acl_server: Server, written: Written) -> None:
    await round_trip(Settings(**written(acl_server, USER, SECRET)))
    with acl_server.admin() as client:
        # Nothing else was refused in silence either: the state of the server is a right that no role needs.
        assert {entry["object"] for entry in client.acl_log()} <= {"info"}


async def test_a_user_and_tls_together(debian_redis: Servers) -> None:
    server = debian_redis(tls=True, users={"default": "off", USER: f"on >{SECRET} {RIGHTS}"})
    assert server.certificates is not None
    url = server.url.replace("rediss://", f"rediss://{USER}:{quote(SECRET, safe='')}@")
    await round_trip(Settings(redis_url=url, **with_certificates(server.certificates)))


# --- What is never shown ------------------------------------------------------------------------------


def traces(error: BaseException) -> Iterator[str]:
    """Everything that somebody could print of an error, with all errors behind it."""
    yield "".join(traceback.format_exception(error))
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        if (one := waiting.pop()) is None or id(one) in seen:
            continue
        seen.add(id(one))
        yield f"{one} {one!r} {one.args}"
        # Also what `raise … from None` only hides.
        waiting += [one.__cause__, one.__context__]


def assert_hidden(secret: str, texts: Iterator[str] | list[str]) -> None:
    for text in texts:
        for form in (secret, quote(secret, safe=""), quote(secret)):
            assert form not in text


@contextmanager
def nothing_logged(caplog: pytest.LogCaptureFixture, secret: str) -> Iterator[None]:
    """No record of any logger, redis-py's own included, shows the secret."""
    caplog.set_level(logging.DEBUG)
    for name in ("redis", "abe_redis", "asyncio", "mcp"):
        caplog.set_level(logging.DEBUG, logger=name)
    yield
    assert_hidden(secret, [caplog.text, *(record.getMessage() for record in caplog.records)])


async def tool_answers(backend: RedisMessageQueueBackend) -> list[str]:
    """What an agent is told by every tool, as an answer or as a refusal with all that is behind it."""
    shared = Operations(backend, origin="mcp")

    async def operations() -> Operations:
        return shared

    server = make_server(operations, Permissions())
    answers = []
    for tool, arguments in (
        ("publish_event", {"payload": payload("Ev1")}),
        ("read_stream", {}),
        ("lease_events", {"group": "agents"}),
        ("count_events", {"by": "type"}),
        ("read_stream", {"event_id": "Ev1"}),
        ("ack", {"stream": TOPIC, "group": "agents", "ids": ["1-0"]}),
        ("stream_stats", {}),
    ):
        try:
            answers.append(repr(await server.call_tool(tool, arguments)))
        except Exception as error:  # noqa: BLE001 - whatever it is, it reaches the model
            answers.append("\n".join(traces(error)))
    return answers


@both_ways
async def test_a_wrong_password(
    acl_server: Server, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = SECRET[::-1]
    with nothing_logged(caplog, wrong):
        settings = Settings(**written(acl_server, USER, wrong))
        error = await failure(settings)
        assert isinstance(error, RedisRefusedError)
        assert "REDIS_USERNAME and REDIS_PASSWORD" in str(error)
        assert_hidden(wrong, traces(error))
        async with RedisMessageQueueBackend(settings) as backend:
            for attempt in (backend.publish(TOPIC, payload("Ev1")), anext(backend.consume())):
                with pytest.raises(RedisRefusedError, match="REDIS_USERNAME and REDIS_PASSWORD") as caught:
                    await attempt
                assert_hidden(wrong, traces(caught.value))
            answers = await tool_answers(backend)
            assert all("refused the user name or password" in answer for answer in answers)
            assert_hidden(wrong, answers)


async def test_no_password_where_one_is_needed(acl_server: Server) -> None:
    error = await failure(Settings(redis_url=acl_server.url))
    assert isinstance(error, RedisRefusedError)
    assert "REDIS_USERNAME and REDIS_PASSWORD" in str(error)


async def test_a_user_without_the_right(acl_server: Server, caplog: pytest.LogCaptureFixture) -> None:
    with nothing_logged(caplog, SECRET):
        settings = Settings(**as_variables(acl_server, "reader", SECRET))
        async with RedisMessageQueueBackend(settings) as backend:
            assert (await Operations(backend).read_stream()).events == []
            with pytest.raises(RedisRefusedError) as caught:
                await backend.publish(TOPIC, payload("Ev1"))
        assert "does not permit publishing to 'slack_events'" in str(caught.value)
        assert "ACL SETUSER" in str(caught.value)
        assert_hidden(SECRET, traces(caught.value))


@pytest.mark.promise("credentials are removed from the URL as soon as it is read.")
@pytest.mark.promise("Slack's verification `token` never reaches Redis; no password appears")
@both_ways
async def test_a_password_that_works_is_nowhere_either(
    acl_server: Server, written: Written, caplog: pytest.LogCaptureFixture
) -> None:
    with nothing_logged(caplog, SECRET):
        settings = Settings(**written(acl_server, USER, SECRET))
        async with RedisMessageQueueBackend(settings) as backend:
            operations = Operations(backend, origin="mcp")
            events = backend.consume()
            answers = await tool_answers(backend)
            with anyio.fail_after(PATIENCE):
                event = await anext(events)
            shown = [
                f"{one!r} {one}"
                for one in (settings, backend, operations, operations.agent_leases, events, event)
            ]
            connections = await backend.connections()
            shown += [repr(connections), repr(connections.commands), repr(connections.blocking)]
        assert_hidden(SECRET, shown)
        assert_hidden(SECRET, answers)


@both_ways
async def test_a_server_that_goes_away(
    acl_server: Server,
    written: Written,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("abe_redis.publishing.publisher.PUBLISH_SECONDS", 0.5)
    with nothing_logged(caplog, SECRET):
        settings = Settings(**written(acl_server, USER, SECRET))
        async with RedisMessageQueueBackend(settings) as backend:
            await backend.publish(TOPIC, payload("Ev1"))
            events = backend.consume()
            assert await anext(events) == payload("Ev1")
            acl_server.kill()
            answers = await tool_answers(backend)
            with pytest.raises(RedisUnavailableError) as caught:
                await backend.publish(TOPIC, payload("Ev2"))
        assert_hidden(SECRET, traces(caught.value))
        assert_hidden(SECRET, answers)


@both_ways
def test_a_setting_that_is_refused(written: Written, own_server: Server) -> None:
    settings = written(own_server, USER, SECRET) | {"redis_max_connections": 0}
    with pytest.raises(SettingsError) as caught:
        Settings(**settings)
    assert_hidden(SECRET, traces(caught.value))
