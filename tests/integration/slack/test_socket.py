"""Socket Mode: in order, acknowledged when Redis has it, and without a gap when a connection ends."""

import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import RequestError, SettingsError
from abe_redis.settings import Settings
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import Receiver
from abe_redis.slack.socket_mode import SocketDoor, app_token
from abe_redis.testing import block_actions, message, slash_command
from abe_redis.testing.fake_slack.fake import FakeSlack
from tests.integration.conftest import take, until
from tests.patience import PATIENCE

RETRIES = (0.2,) * 300


@asynccontextmanager
async def receiving(
    backend: RedisMessageQueueBackend,
    slack: FakeSlack,
    *,
    connections: int = 1,
    receiver: Receiver | None = None,
) -> AsyncIterator[SocketDoor]:
    receiver = receiver or Receiver(backend, Queues.chosen(backend.settings))
    ready = anyio.Event()
    door = SocketDoor(receiver, "xapp-1", connections=connections, api_url=slack.api_url, on_ready=ready.set)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(door.run)
        with anyio.fail_after(PATIENCE):
            await ready.wait()
        yield door
        door.shutdown()


async def texts(redis: Redis, stream: str = "slack_events") -> list[str]:
    entries: Any = await redis.xrange(stream)
    return [json.loads(fields[b"data"])["event"]["text"] for _, fields in entries]


async def test_a_thousand_events_are_queued_in_their_order(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    async with FakeSlack(retry_waits=RETRIES) as slack, receiving(backend, slack):
        sent = [slack.send(message(str(number))) for number in range(1_000)]
        for one in sent:
            await one
    assert all(one.accepted for one in sent)
    assert await texts(redis) == [str(number) for number in range(1_000)]


async def test_everything_that_slack_sends_reaches_its_stream_and_says_how_it_came(
    backend: RedisMessageQueueBackend,
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack, receiving(backend, slack, connections=3) as door:
        assert (door.connected, door.health()) == (3, None)
        for payload in (message("hi"), block_actions("go"), slash_command("/go")):
            assert (await slack.send(payload)).accepted
    assert (door.connected, door.health()) == (0, "no connection to Slack")
    async with backend.consume() as events:
        found = {one.stream: one for one in await take(events, 3)}
    assert set(found) == {"slack_events", "slack:actions", "slack:commands"}
    for one in found.values():
        assert one.arrival is not None
        assert (one.arrival.path, one.arrival.retry_num) == ("socket", 0)
        assert one.arrival.envelope_id


async def test_the_next_connection_is_open_before_the_old_one_ends(
    backend: RedisMessageQueueBackend, redis: Redis
) -> None:
    async with FakeSlack(retry_waits=RETRIES, answer_within=30) as slack, receiving(backend, slack):
        sent = [slack.send(message(str(number))) for number in range(50)]
        slack.disconnect("warning", closes_after=1_000)
        # The old one still counts: Slack does not close it in this test.
        await slack.connected(2)
        sent += [slack.send(message(str(number))) for number in range(50, 100)]
        for one in sent:
            await one
        assert {len(one.attempts) for one in sent} == {1}
    assert sorted(await texts(redis), key=int) == [str(number) for number in range(100)]


@pytest.mark.parametrize("breaks", [FakeSlack.cut, lambda slack: slack.disconnect(closes_after=0)])
async def test_a_connection_that_ends_is_replaced_and_nothing_is_lost_or_doubled(
    backend: RedisMessageQueueBackend, redis: Redis, breaks: Callable[[FakeSlack], None]
) -> None:
    async with FakeSlack(retry_waits=RETRIES) as slack, receiving(backend, slack, connections=2):
        sent = []
        for round_ in range(3):
            sent += [slack.send(message(f"{round_}.{number}")) for number in range(30)]
            breaks(slack)
            await until(lambda wanted=2 * (round_ + 2): _opened(slack, wanted))  # type: ignore[misc]
        for one in sent:
            await one
    assert all(one.accepted for one in sent)
    assert sorted(await texts(redis)) == sorted(one.payload["event"]["text"] for one in sent)


async def _opened(slack: FakeSlack, count: int) -> bool:
    return slack.connections_opened >= count


async def test_a_token_that_slack_refuses_ends_it(backend: RedisMessageQueueBackend) -> None:
    door = SocketDoor(Receiver(backend, Queues("s")), "xapp-1", api_url="http://127.0.0.1:1/")
    async with FakeSlack(answer_within=PATIENCE) as slack:
        slack.fail("apps.connections.open", "invalid_auth")
        door = SocketDoor(Receiver(backend, Queues("s")), "xapp-secret", api_url=slack.api_url)
        with pytest.RaisesGroup(
            pytest.RaisesExc(RequestError, match=r"SLACK_APP_TOKEN \(invalid_auth\)"), flatten_subgroups=True
        ):
            await door.run()


async def test_it_asks_again_while_slack_gives_no_connection(
    backend: RedisMessageQueueBackend, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        slack.fail("apps.connections.open", "internal_error", times=1)
        async with receiving(backend, slack):
            assert (await slack.send(message("hi"))).accepted
    assert "Slack gave no connection (internal_error); trying again." in caplog.text


async def test_an_app_whose_socket_mode_is_switched_off_ends_it(backend: RedisMessageQueueBackend) -> None:
    with pytest.RaisesGroup(
        pytest.RaisesExc(RequestError, match="switched off Socket Mode"), flatten_subgroups=True
    ):
        async with FakeSlack(answer_within=PATIENCE) as slack, receiving(backend, slack):
            slack.disconnect("link_disabled", closes_after=0)
            await anyio.sleep_forever()


@pytest.mark.parametrize("token", ["", "xoxb-1-a-bot's"])
def test_a_token_of_another_kind_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(SettingsError, match="connections:write") as caught:
        app_token(Settings(slack_app_token=token))
    assert "xoxb-1" not in str(caught.value)


async def test_bodies_are_never_logged(
    backend: RedisMessageQueueBackend, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "abe_redis")
    async with FakeSlack(answer_within=PATIENCE) as slack, receiving(backend, slack):
        assert (await slack.send(message("xyzzy-in-a-body"))).accepted
    assert "A connection to Slack is open." in caplog.text
    assert "xyzzy" not in caplog.text
    assert "xapp-1" not in caplog.text
