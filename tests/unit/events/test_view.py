"""The Slack event as handlers get it: with the installation, without padding, knowing where it came from."""

from typing import Any

import pytest

from abe_redis import Event, slack_event
from abe_redis.errors import LeaseLostError
from tests.unit.events.shapes import CHANNEL, USER, action, command, envelope


class Holder:
    """Notes what is let go of."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []

    async def nack(self, event: Event, *, delay: float, reason: str | None, counted: bool) -> None:
        assert counted
        self.done.append(("nack", id(event), delay, reason))

    async def bury(self, event: Event, *, reason: str) -> None:
        self.done.append(("bury", id(event), reason))


def delivered(payload: dict[str, Any], **more: Any) -> Event:
    return Event(payload, stream="slack_events", group="bot", id="1-0", deliveries=2, **more)


def test_a_bot_finds_its_installation() -> None:
    facts = {
        "team_id": "T0AWAY",
        "enterprise_id": "E0",
        "context_team_id": "T0HOME",
        "event_context": "4-abc",
        "is_ext_shared_channel": True,
        "authorizations": [{"enterprise_id": None, "team_id": "T0HOME", "user_id": "U0BOT", "is_bot": True}],
    }
    seen = slack_event(delivered(envelope({"type": "app_mention", "user": USER}, **facts)))
    assert seen == {"type": "app_mention", "user": USER, "event_id": "Ev0", "api_app_id": "A0BOT"} | facts


def test_the_inner_event_wins_over_the_envelope() -> None:
    seen = slack_event(delivered(envelope({"type": "message_metadata_posted", "team_id": "T9"})))
    assert seen["team_id"] == "T9"


def test_padding_is_dropped_and_the_payload_stays() -> None:
    padded = {
        "type": "app_mention",
        "user": USER,
        "ts": "1.1",
        "thread_ts": None,
        "text": None,
        "reaction": None,
    }
    event = delivered(envelope(padded | {"bot_profile": None}))
    seen = slack_event(event)
    assert seen.get("thread_ts", seen["ts"]) == "1.1"
    assert not {"text", "reaction"} & set(seen)
    assert seen["bot_profile"] is None, "that is Slack's own"
    assert event["event"]["thread_ts"] is None


@pytest.mark.parametrize(
    "payload",
    [
        action("block_actions", channel={"id": CHANNEL}),
        command(),
        {"type": "message", "text": None},
        {"n": 1},
    ],
)
def test_a_payload_without_an_envelope_stays_as_it_was(payload: dict[str, Any]) -> None:
    assert slack_event(delivered(payload)) == payload
    assert slack_event(payload) == payload


async def test_it_knows_where_it_came_from_and_lets_go_of_the_event() -> None:
    holder = Holder()
    event = delivered(envelope({"type": "message"}), origin="mcp", holder=holder, trace={"traceparent": "00"})
    seen = slack_event(event)
    assert (seen.stream, seen.group, seen.id, seen.deliveries) == ("slack_events", "bot", "1-0", 2)
    assert (seen.origin, seen.trace, seen.merged_types) == ("mcp", {"traceparent": "00"}, ())
    await seen.nack(delay=3, reason="later")
    await seen.bury(reason="no")
    assert holder.done == [("nack", id(event), 3, "later"), ("bury", id(event), "no")]
    with pytest.raises(LeaseLostError):
        await slack_event(delivered({})).nack()


@pytest.mark.parametrize("kept", ["app_mention", "message"])
def test_a_merged_mention_is_an_app_mention_that_says_so(kept: str) -> None:
    both = ("app_mention", "message")
    seen = slack_event(delivered(envelope({"type": kept, "text": "<@U0BOT>"}), merged_types=both))
    assert seen["type"] == "app_mention"
    assert seen["merged_types"] == list(both)
    assert seen.merged_types == both
