"""What the log says while a stream takes nothing: once at its beginning, once at its end, and all of it."""

import re
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.slack import http, outages
from abe_redis.slack.http import SlackDoor
from abe_redis.testing import block_actions, message, slash_command, view_submission
from abe_redis.testing.signing import signed, signed_form
from tests.integration.conftest import MakeBackend, until
from tests.integration.slack.doors import SECRET, door, post
from tests.patience import PATIENCE
from tests.servers import Server

REFUSED = "What Slack sends for '{}' is refused (it sends an event again, up to three times, but no command, "


@pytest.fixture
def slack(backend: RedisMessageQueueBackend) -> SlackDoor:
    return door(backend)


async def test_while_redis_is_away_what_slack_sends_is_refused(
    make_backend: MakeBackend, caplog: pytest.LogCaptureFixture
) -> None:
    slack = door(make_backend(redis_url="redis://127.0.0.1:1/0"))
    secret_word = "xyzzy-in-a-body"
    reply = await post(slack, *signed(message(secret_word), SECRET))
    assert reply.status == 503
    assert "x-slack-no-retry" not in reply.headers
    assert REFUSED.format("slack_events") in caplog.text
    assert secret_word not in caplog.text + reply.body


async def test_each_outage_is_told_once_at_its_beginning_and_its_end_with_all_that_was_refused(
    slack: SlackDoor, redis: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    await redis.set("slack_events", "of another type")
    for number in range(5):
        assert (await post(slack, *signed(message(str(number)), SECRET))).status == 503
        assert (await post(slack, *signed_form(slash_command("/go"), SECRET))).status == 200
    assert caplog.text.count(REFUSED.format("slack_events")) == 1
    assert "takes events" not in caplog.text, "another stream takes them"
    await redis.delete("slack_events")
    for number in range(2):
        assert (await post(slack, *signed(message(str(number)), SECRET))).status == 200
    assert caplog.text.count("Redis takes events for 'slack_events' again; refused meanwhile: 5.") == 1


async def test_what_waits_behind_a_refused_event_counts_as_refused(
    make_backend: MakeBackend, own_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    slack = door(make_backend(redis_url=own_server.url))
    assert (await post(slack, *signed(message("before"), SECRET))).status == 200
    own_server.freeze()
    statuses = set[int]()

    async def send(number: int) -> None:
        statuses.add((await post(slack, *signed(message(str(number), channel="C1"), SECRET))).status)

    async with anyio.create_task_group() as tasks:
        for number in range(8):
            tasks.start_soon(send, number)
    own_server.thaw()
    assert statuses == {503}
    assert (await post(slack, *signed(message("after"), SECRET))).status == 200
    assert "Redis takes events for 'slack_events' again; refused meanwhile: 8." in caplog.text


@pytest.mark.parametrize(
    ("stream", "payload", "sign", "retries", "lost"),
    [
        ("slack_events", message("hi"), signed, 0, 0),
        ("slack_events", message("hi"), signed, 2, 0),
        ("slack_events", message("hi"), signed, 3, 1),
        ("slack:commands", slash_command("/deploy"), signed_form, 0, 1),
        ("slack:actions", block_actions("go"), signed_form, 0, 1),
        ("slack:views", view_submission("form", {"why": "so"}), signed_form, 0, 1),
    ],
)
async def test_the_log_says_what_slack_does_not_send_again(
    slack: SlackDoor,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    stream: str,
    payload: dict[str, Any],
    sign: Callable[..., tuple[bytes, dict[str, str]]],
    retries: int,
    lost: int,
) -> None:
    body, headers = sign(payload, SECRET)
    await redis.set(stream, "of another type")
    reply = await post(slack, body, headers | {"X-Slack-Retry-Num": str(retries)})
    assert reply.status == 503
    assert "again" not in reply.body
    assert "but no command, action, shortcut or view): " in caplog.text
    await redis.delete(stream)
    assert (await post(slack, body, headers)).status == 200
    end = f", of which Slack sends {lost} no more." if lost else "."
    assert f"Redis takes events for {stream!r} again; refused meanwhile: 1{end}" in caplog.text


async def test_what_is_refused_soon_after_an_outage_is_told_though_nothing_else_comes(
    slack: SlackDoor, redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outages, "QUIET_SECONDS", 1.0)
    for count in (2, 5):
        await redis.set("slack_events", "of another type")
        for _ in range(count):
            assert (await post(slack, *signed(message("hi"), SECRET))).status == 503
        await redis.delete("slack_events")
        assert (await post(slack, *signed(message("hi"), SECRET))).status == 200

    async def told() -> bool:
        counts = re.findall(r"refused meanwhile: (\d+)", caplog.text)
        return sum(map(int, counts)) == 7

    await until(told)


async def test_what_was_refused_without_a_reason_is_told_too(
    slack: SlackDoor, redis: Redis, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hurried:
        hurried.setattr(http, "ANSWER_SECONDS", -1)
        assert (await post(slack, *signed(message("hi"), SECRET))).status == 503
    assert (await post(slack, *signed(message("hi"), SECRET))).status == 200
    assert "refused meanwhile: 1." in caplog.text


async def test_a_stream_that_takes_an_event_now_and_then_is_told_seldom(
    make_backend: MakeBackend,
    redis: Redis,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outages, "QUIET_SECONDS", 10 * PATIENCE)
    slack = door(make_backend(redis_stream_hard_maxlen=1, redis_stream_maxlen=1))
    statuses = list[int]()
    for number in range(6):
        statuses += [(await post(slack, *signed(message(str(number)), SECRET))).status for _ in range(2)]
        await redis.xtrim("slack_events", maxlen=0)
    assert set(statuses) >= {200, 503}
    assert caplog.text.count("What Slack sends for") == 1
    assert caplog.text.count("Redis takes events") == 1
