"""What never becomes visible of a secret: in logs, errors, traces and answers."""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import anyio
import pytest

from abe_redis import Operations, RedisMessageQueueBackend, Settings
from abe_redis.errors import RedisRefusedError, RedisUnavailableError, SettingsError
from abe_redis.mcp.permissions import Permissions
from abe_redis.mcp.server import make_server
from tests.integration.client.secured import (
    SECRET,
    TOPIC,
    USER,
    Written,
    acl_server,
    as_variables,
    both_ways,
    failure,
    payload,
)
from tests.patience import PATIENCE
from tests.servers import Server, Servers

__all__ = ["acl_server"]


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


class Rotated:
    """Gives a password that no setting holds."""

    def get_credentials(self) -> tuple[str, str]:
        return (USER, SECRET)


@pytest.mark.promise("Slack's verification `token` never reaches Redis; no password appears")
@pytest.mark.parametrize("source", ["password", "long", "blanks", "file", "credentials"])
async def test_a_server_that_repeats_what_it_does_not_know(
    source: str, debian_redis: Servers, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As one does whose AUTH was renamed, or a proxy: the words behind an unknown command."""
    server = debian_redis(options={"rename-command": 'AUTH ""'})
    (tmp_path / "password").write_text(f"{SECRET}\n")
    ways: dict[str, tuple[str, dict[str, Any]]] = {
        "password": (SECRET, {"redis_password": SECRET}),
        "long": (SECRET, {"redis_password": SECRET * 10}),
        "blanks": ("x  y  zsecret", {"redis_password": "x  y  zsecret"}),
        "file": (SECRET, {"redis_password_file": tmp_path / "password"}),
        "credentials": (SECRET, {"redis_credentials": f"{__name__}:Rotated"}),
    }
    secret, given = ways[source]
    with nothing_logged(caplog, secret):
        settings = Settings(redis_url=server.url, **given)
        error = await failure(settings)
        assert "does not take AUTH (unknown command)" in str(error)
        assert_hidden(secret, traces(error))
        async with RedisMessageQueueBackend(settings) as backend:
            assert_hidden(secret, await tool_answers(backend))


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
    with nothing_logged(caplog, SECRET):
        settings = Settings(**written(acl_server, USER, SECRET))
        async with RedisMessageQueueBackend(settings) as backend:
            await backend.publish(TOPIC, payload("Ev1"))
            events = backend.consume()
            assert await anext(events) == payload("Ev1")
            acl_server.kill()
            monkeypatch.setattr("abe_redis.publishing.publisher.PUBLISH_SECONDS", 0.5)
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
