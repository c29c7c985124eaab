"""What Slack posts, each kind through the real webhook: the same comes out, by the way of production."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from abe_redis import Event, RedisMessageQueueBackend, Settings, slack_event, testing
from abe_redis.testing.parts import BOT, TOKEN
from tests.hosts.test_slack_mcp import TOPIC, everything_in
from tests.hosts.webhook import Webhook
from tests.integration.conftest import take
from tests.servers import Server
from tests.topologies import wait_until

RAW = "Error deserializing Slack event"
"""What the webhook logs when its model refuses a payload, which it then publishes as it came."""

ENVELOPES: dict[str, Callable[[], dict[str, Any]]] = {
    "message": lambda: testing.message("hello"),
    "a reply": lambda: testing.message("hello", thread="1700000000.000100"),
    "app_mention": lambda: testing.app_mention("hello"),
    "direct_message": lambda: testing.direct_message("hello"),
    "message_changed": lambda: testing.message_changed("hello", before="helo", of="1700000000.000100"),
    "message_deleted": lambda: testing.message_deleted("hello", of="1700000000.000100"),
    "bot_message": lambda: testing.bot_message("built"),
    "file_share": lambda: testing.file_share("the plan"),
    "thread_broadcast": lambda: testing.thread_broadcast("so", thread="1700000000.000100"),
    "reaction_added": lambda: testing.reaction_added("eyes", to="1700000000.000100"),
    "reaction_removed": lambda: testing.reaction_removed("eyes", to="1700000000.000100"),
    "assistant_thread_started": testing.assistant_thread_started,
    "function_executed": lambda: testing.function_executed("triage"),
    "envelope": lambda: testing.envelope({"type": "emoji_changed", "subtype": "add", "name": "party"}),
}
FORMS: dict[str, Callable[[], dict[str, Any]]] = {
    "block_actions": lambda: testing.block_actions("approve", value="7"),
    "view_submission": lambda: testing.view_submission("form", {"why": "because"}),
    "slash_command": lambda: testing.slash_command("/deploy", "web"),
}
NOTICES: dict[str, Callable[[], dict[str, Any]]] = {"app_rate_limited": testing.app_rate_limited}


def test_every_maker_is_here() -> None:
    makers = {
        name
        for name in testing.__all__
        if inspect.isfunction(getattr(testing, name)) and not name.startswith("signed")
    }
    assert makers == {*ENVELOPES, *FORMS, *NOTICES, "url_verification"} - {"a reply"}


async def posted(webhook: Webhook, server: Server, payload: dict[str, Any], *, refused: int) -> Event:
    """What comes out of the queue for a payload that the webhook's model refuses so many times."""
    before = webhook.log.count(RAW)
    assert webhook.post([payload]) == {200}
    wait_until(lambda: webhook.log.count(RAW) >= before + refused, "the webhook to say that it refused it")
    async with (
        RedisMessageQueueBackend(Settings(redis_url=server.url)) as backend,
        backend.consume(group="shapes") as events,
    ):
        (event,) = await take(events, 1)
    assert webhook.log.count(RAW) == before + refused
    return event


def without_token(payload: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in payload.items() if name != "token"}


@pytest.mark.parametrize("make", ENVELOPES.values(), ids=ENVELOPES)
async def test_an_envelope_comes_out_as_it_went_in_by_the_hosts_own_model(
    make: Callable[[], dict[str, Any]], webhook: Webhook, server: Server
) -> None:
    payload = make()
    event = await posted(webhook, server, payload, refused=0)
    assert without_token(event) == without_token(payload) | {"event": event["event"]}
    padding = {name for name in event["event"] if name not in payload["event"]}
    assert {event["event"][name] for name in padding} <= {None}
    assert slack_event(event) == slack_event(payload), "the view has nothing of the padding"
    assert TOKEN not in everything_in(server)


@pytest.mark.parametrize("make", [*FORMS.values(), *NOTICES.values()], ids=[*FORMS, *NOTICES])
async def test_a_payload_without_an_envelope_comes_out_as_it_went_in(
    make: Callable[[], dict[str, Any]], webhook: Webhook, server: Server
) -> None:
    payload = make()
    event = await posted(webhook, server, payload, refused=1)
    assert event == without_token(payload)
    assert TOKEN not in everything_in(server)


@pytest.mark.parametrize("make", FORMS.values(), ids=FORMS)
def test_the_host_takes_no_forms(
    make: Callable[[], dict[str, Any]], webhook: Webhook, server: Server
) -> None:
    """As Slack posts them; docs/slack-events.md says where they go instead."""
    assert webhook.post([make()], form=True) == {500}
    with server.admin() as client:
        assert not client.exists(TOPIC)


def test_the_host_answers_a_challenge_itself(webhook: Webhook, server: Server) -> None:
    assert webhook.post([testing.url_verification()]) == {200}
    with server.admin() as client:
        assert not client.exists(TOPIC)


def test_a_mention_is_one_event_if_wanted(
    slack_host: Any, server: Server, redis_url: str, tmp_path: Any
) -> None:
    variables = {
        "QUEUE_BACKEND": "redis",
        "REDIS_URL": redis_url,
        "REDIS_STREAM_MERGE_MENTIONS": "true",
    }
    mention = testing.app_mention("hello", ts="1700000000.000100")
    twin = testing.message(f"<@{BOT}> hello", ts="1700000000.000100")
    with Webhook(slack_host, tmp_path, variables) as webhook:
        for payload in (twin, mention, testing.message("hello", ts="1700000000.000100")):
            assert webhook.post([payload]) == {200}
    with server.admin() as client:
        entries: Any = client.xrange(TOPIC)
    assert [fields.get("mention", "").split(" ")[0] for _, fields in entries] == ["message", ""]
