"""What makes an event the same event, and a mention the same mention."""

from typing import Any

import pytest

from abe_redis.events.identity import event_id_of, host_event_id, slack_event_id
from abe_redis.events.kinds import paths
from abe_redis.events.mentions import mention_in
from tests.unit.events.shapes import APP, CHANNEL, USER, action, command, envelope


@pytest.mark.parametrize(
    ("payload", "event_id"),
    [
        (envelope({}), f"{APP}:Ev0"),
        (envelope({}, api_app_id=None), "Ev0"),
        (envelope({}, api_app_id="A1"), "A1:Ev0"),
        (envelope({}, event_id=5), None),
        (envelope({}, event_id=""), None),
        ({"type": "message", "event_id": "Ev0"}, None),
        (action("block_actions"), None),
        (command(), None),
    ],
)
def test_slacks_id_is_the_apps(payload: dict[str, Any], event_id: str | None) -> None:
    assert slack_event_id(payload) == event_id


@pytest.mark.parametrize(
    ("payload", "event_id"),
    [
        ({"delivery_id": "d1"}, "delivery_id:d1"),
        ({"delivery_id": 17}, "delivery_id:17"),
        ({"Delivery_ID": "d1"}, "delivery_id:d1"),
        ({"delivery_id": None, "headers": {"X-Request-Id": "r1"}}, "headers.x-request-id:r1"),
        ({"delivery_id": "", "headers": {"x-request-id": "r1"}}, "headers.x-request-id:r1"),
        ({"body": {"history_items": [{"id": "h1"}, {"id": "h2"}]}}, "body.history_items.0.id:h1"),
        ({"body": {"history_items": []}}, None),
        ({"body": {"history_items": {"0": {"id": "h1"}}}}, "body.history_items.0.id:h1"),
        ({"delivery_id": True}, None),
        ({"delivery_id": {"id": "d1"}}, None),
        ({"delivery_id": "x" * 501}, f"delivery_id:{'x' * 501}"),
        ({"headers": "none"}, None),
        ({}, None),
    ],
)
def test_a_hosts_id_stands_where_the_setting_says(payload: dict[str, Any], event_id: str | None) -> None:
    fields = paths("delivery_id headers.x-request-id body.history_items.0.id")
    assert host_event_id(payload, fields) == event_id


def test_no_two_ids_are_made_into_the_same() -> None:
    envelopes = [
        envelope({}, api_app_id=app, event_id=event_id)
        for app in ("A", "A:b", "A%3Ab", "A\ud800", None)
        for event_id in ("c", "b:c", "A:c", ":c", "\ud800", "\ud801", "?", "x" * 501, "x" * 502)
    ]
    ids = [event_id_of(one) for one in envelopes]
    assert len(set(ids)) == len(envelopes)
    assert ids == [event_id_of(one, given=one["event_id"]) for one in envelopes]
    fields = paths("a a:b")
    assert event_id_of({"a": "b:c"}, fields=fields) != event_id_of({"a:b": "c"}, fields=fields)


@pytest.mark.parametrize("odd", ["\ud800", "Ev\udfff", "x" * 501, "é" * 10_000])
def test_any_id_is_made_fit_for_a_key(odd: str) -> None:
    fields = paths("id")
    for found in (
        event_id_of(envelope({}, event_id=odd)),
        event_id_of(envelope({}, api_app_id=odd)),
        event_id_of({}, given=odd),
        event_id_of({"id": odd}, fields=fields),
    ):
        assert found is not None
        assert len(found.encode()) <= 500


MENTION = {"type": "app_mention", "channel": CHANNEL, "user": USER, "text": "<@U0BOT> go", "ts": "10.1"}
MESSAGE = MENTION | {"type": "message", "channel_type": "channel"}
OTHER_BOT = {"user": "U0OTHERBOT", "bot_id": "B0OTHER", "bot_profile": {"app_id": "A0OTHER"}}
RICH = {"type": "rich_text", "elements": [{"elements": [{"type": "user", "user_id": "U0BOT"}]}]}


@pytest.mark.parametrize(
    "event",
    [
        MENTION,
        MENTION | {"subtype": "bot_message"},
        MESSAGE,
        MESSAGE | {"text": "<@U0BOT|bot> go"},
        MESSAGE | {"text": "", "blocks": [RICH]},
        MESSAGE | {"subtype": "file_share"},
        MESSAGE | {"subtype": "thread_broadcast", "thread_ts": "9.1"},
        MESSAGE | {"channel_type": "mpim"},
        MESSAGE | OTHER_BOT,
        MESSAGE | OTHER_BOT | {"subtype": "bot_message", "user": None},
        MESSAGE | {"bot_id": "B0OTHER", "app_id": "A0OTHER"},
    ],
)
def test_both_events_of_a_mention_have_one_key(event: dict[str, Any]) -> None:
    assert mention_in(envelope(event)) == (event["type"], f"{APP}:{CHANNEL}:10.1")
    of_old = envelope(event, authorizations=None, authed_users=["U0BOT"])
    assert mention_in(of_old) == mention_in(envelope(event))


@pytest.mark.parametrize(
    "payload",
    [
        envelope(MENTION | {"edited": {"user": USER, "ts": "11.0"}}),
        envelope(MENTION | {"ts": None}),
        envelope(MENTION | {"channel": "C" * 300}),
        envelope(MENTION | {"channel": {"id": CHANNEL}}),
        envelope(MESSAGE | {"text": "<@U0BOB> go"}),
        envelope(MESSAGE | {"text": "<@U0BOT2> go"}),
        envelope(MESSAGE | {"text": None}),
        envelope(MESSAGE | {"subtype": "message_changed"}),
        envelope(MESSAGE | {"subtype": "channel_join"}),
        envelope(MESSAGE | {"edited": {"user": USER}}),
        envelope(MESSAGE | {"hidden": True}),
        envelope(MESSAGE | {"channel_type": "im"}),
        envelope(MESSAGE | {"channel_type": None, "channel": "D0ANN"}),
        envelope(MESSAGE | {"subtype": "me_message"}),
        envelope(MESSAGE | {"user": None}),
        envelope(MESSAGE | {"user": "U0BOT"}),
        envelope(MESSAGE | {"user": ["U0BOT"]}),
        envelope(MESSAGE | {"user": "U0BOT", "bot_id": "B0BOT"}),
        envelope(MESSAGE | {"user": None, "bot_id": "B0BOT", "subtype": "bot_message"}),
        envelope(MESSAGE | {"user": "U0BOT_OF_ANOTHER_TEAM", "bot_id": "B0BOT"}),
        envelope(MESSAGE | {"user": "U0BOT_OF_ANOTHER_TEAM", "bot_profile": {"app_id": APP}}),
        envelope(MESSAGE | {"app_id": APP}),
        envelope(MESSAGE | {"app_id": {"id": APP}}, api_app_id=None),
        envelope(MESSAGE | OTHER_BOT, api_app_id=None),
        envelope(MENTION | {"user": "U0BOT"}),
        envelope(MESSAGE | {"text": "<@U0ANN> go"}, authed_users=["U0ANN"]),
        envelope(MESSAGE, authorizations=None),
        envelope(MESSAGE, authorizations=[{"user_id": "U0BOT", "is_bot": False}, "x"]),
        envelope({"type": "reaction_added", "item": {"channel": CHANNEL, "ts": "10.1"}}),
        MENTION,
    ],
)
def test_an_uncertain_mention_has_no_twin(payload: dict[str, Any]) -> None:
    assert mention_in(payload) is None
