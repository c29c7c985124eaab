"""What the testing kit has beside the contract: looking inside, failing on purpose, and its pytest plugin."""

import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import parse_qsl

import anyio
import pytest

from abe_redis import Event, EventWorker, testing
from abe_redis.errors import RedisUnavailableError
from abe_redis.testing import (
    Buried,
    InMemoryBackend,
    app_mention,
    message,
    reaction_added,
    signed,
    signed_form,
    url_verification,
)
from tests.patience import PATIENCE


async def test_a_test_can_wait_until_all_is_finished(abe_redis_backend: InMemoryBackend) -> None:
    answered: list[str] = []

    async def handle(event: Event) -> None:
        if event["event"]["text"] == "poison":
            await event.bury(reason="as the test has it")
        else:
            answered.append(event["event"]["text"])

    await abe_redis_backend.publish_many("slack_events", [message("a"), message("poison"), message("b")])
    assert abe_redis_backend.unfinished("bot") == 3
    worker = EventWorker(abe_redis_backend, handle, group="bot")
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await abe_redis_backend.finished("bot")
            await worker.shutdown()
    assert answered == ["a", "b"]
    (buried,) = abe_redis_backend.buried()
    assert isinstance(buried, Buried)
    assert (buried.payload["event"]["text"], buried.group, buried.reason, buried.deliveries) == (
        "poison",
        "bot",
        "as the test has it",
        1,
    )
    assert abe_redis_backend.buried("slack:other") == []
    assert len(abe_redis_backend.published()) == 3
    assert abe_redis_backend.unfinished("another") == 3


async def test_redis_can_be_away(abe_redis_backend: InMemoryBackend) -> None:
    await abe_redis_backend.publish("slack_events", {"n": 1})
    abe_redis_backend.away = True
    with pytest.raises(RedisUnavailableError, match="as the test has it"):
        await abe_redis_backend.publish("slack_events", {"n": 2})
    async with abe_redis_backend.consume() as events:
        with anyio.move_on_after(0.2) as scope:
            await anext(events)
        assert scope.cancelled_caught
        abe_redis_backend.away = False
        with anyio.fail_after(PATIENCE):
            assert await anext(events) == {"n": 1}


async def test_leases_can_be_lost(abe_redis_backend: InMemoryBackend) -> None:
    await abe_redis_backend.publish("slack_events", {"n": 1})
    deliveries: list[int] = []
    cancelled = 0

    async def handle(event: Event) -> None:
        nonlocal cancelled
        deliveries.append(event.deliveries)
        if event.deliveries == 1:
            abe_redis_backend.lose_leases()
            try:
                await anyio.sleep_forever()
            except anyio.get_cancelled_exc_class():
                cancelled += 1
                raise

    worker = EventWorker(abe_redis_backend, handle)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await abe_redis_backend.finished()
            await worker.shutdown()
    assert (deliveries, cancelled) == ([1, 2], 1)


def test_events_are_as_slack_sends_them() -> None:
    mention = app_mention("hello", thread="1.000001")
    assert mention["type"] == "event_callback"
    assert mention["event"]["type"] == "app_mention"
    assert mention["event"]["thread_ts"] == "1.000001"
    assert mention["event"]["text"].endswith("> hello")
    assert app_mention("x")["event_id"] != app_mention("x")["event_id"]
    assert "thread_ts" not in message("x")["event"]
    assert reaction_added("eyes", to="1.000001")["event"]["item"]["ts"] == "1.000001"
    assert url_verification("c")["challenge"] == "c"
    # That a webhook accepts the signature is proved with the host's.
    body, headers = signed(mention, "secret", at=1531420618)
    assert headers["X-Slack-Request-Timestamp"] == "1531420618"
    assert signed(mention, "secret", at=1531420618) == (body, headers)
    assert signed(mention, "other", at=1531420618)[1] != headers


def test_events_of_several_processes_have_ids_of_their_own() -> None:
    program = """if True:
        import os
        from abe_redis.testing import app_mention
        print(app_mention("x")["event_id"], flush=True)
        if child := os.fork():
            os.waitpid(child, 0)
        print(app_mention("x")["event_id"], flush=True)
    """
    runs = [
        subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    ]
    ids = "".join(runs).split()
    assert len(set(ids)) == len(ids) == 6


def test_payloads_carry_what_real_ones_carry() -> None:
    """What Slack MCP Server's model asks for, and what handlers look for."""
    mention = app_mention("hello <#C0OTHER> &amp; <https://example.com|all>")
    assert {
        *("token", "team_id", "api_app_id", "event", "type", "event_id", "event_time", "authorizations"),
        *("is_ext_shared_channel", "event_context", "context_team_id"),
    } <= set(mention)
    event = mention["event"]
    assert {"client_msg_id", "team", "blocks", "ts", "event_ts"} <= set(event)
    (section,) = event["blocks"][0]["elements"]
    assert section["elements"] == [
        {"type": "user", "user_id": "U0LAN0Z89"},
        {"type": "text", "text": " hello "},
        {"type": "channel", "channel_id": "C0OTHER"},
        {"type": "text", "text": " & "},
        {"type": "link", "url": "https://example.com", "text": "all"},
    ]
    assert reaction_added("eyes", to="1.1")["event"]["item_user"] == "U0LAN0Z89"
    assert testing.message_changed("b", before="a", of="1.1")["event"]["previous_message"]["text"] == "a"
    assert testing.message_deleted("a", of="1.1")["event"]["deleted_ts"] == "1.1"
    assert testing.function_executed("triage", {"channel_id": "C1"})["event"]["inputs"] == {
        "channel_id": "C1"
    }
    pressed = testing.block_actions("approve", to="1.2", thread="1.1")
    assert (pressed["container"]["thread_ts"], pressed["message"]["ts"]) == ("1.1", "1.2")
    submitted = testing.view_submission("form", {"why": "because"})
    assert submitted["view"]["state"]["values"]["why"]["why"]["value"] == "because"


def test_forms_are_as_slack_posts_them() -> None:
    body, headers = signed_form(testing.slash_command("/deploy", "web & db"), "secret", at=1531420618)
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert dict(parse_qsl(body.decode()))["text"] == "web & db"
    pressed = testing.block_actions("approve")
    body, _ = signed_form(pressed, "secret")
    assert json.loads(dict(parse_qsl(body.decode()))["payload"]) == pressed


def test_the_plugin_is_there_for_other_projects(tmp_path: Path) -> None:
    (tmp_path / "test_bot.py").write_text(
        """
import os
import pytest
from abe_redis import RedisMessageQueueBackend

@pytest.mark.anyio
@pytest.mark.parametrize("time", [1, 2])
async def test_on_a_real_server(abe_redis_url, time):
    assert os.environ["REDIS_URL"] == abe_redis_url
    async with RedisMessageQueueBackend.from_env() as backend:
        published = await backend.publish_event("slack_events", {"n": 1})
        assert published.length == 1, "the server is empty for each test"

@pytest.mark.anyio
async def test_in_memory(abe_redis_backend):
    await abe_redis_backend.publish("slack_events", {"n": 1})
    assert abe_redis_backend.published() == [{"n": 1}]

@pytest.fixture
def anyio_backend():
    return "asyncio"
""",
        encoding="utf-8",
    )
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env=os.environ | {"PYTEST_ADDOPTS": ""},
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "3 passed" in result.stdout
