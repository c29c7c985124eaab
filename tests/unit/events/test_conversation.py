"""What each shape is kept in order with."""

from typing import Any

import pytest

from abe_redis.events.conversation import conversation_of
from tests.unit.events.shapes import BY_WHAT, BY_WHAT_LACKS_ITS_USER, CHANNEL, MESSAGE, TEAM, envelope


@pytest.mark.promise("`channel` (default): a channel")
@BY_WHAT
def test_each_shape_belongs_to_its_channel_then_its_user_then_its_team(
    payload: dict[str, Any], channel: str | None, user: str | None, thread: str | None
) -> None:
    root_of_thread = thread if channel is None else None
    assert conversation_of(payload) == (channel or root_of_thread)
    assert conversation_of(payload, "thread") == thread
    assert conversation_of(payload, "user") == (user or channel or root_of_thread)


def test_one_channel_is_one_conversation_whatever_the_team() -> None:
    found = {
        conversation_of(envelope(MESSAGE, team_id=team, authorizations=[{"team_id": other}]))
        for team in ("T1", "T2", None)
        for other in ("T1", "T3")
    }
    assert found == {CHANNEL}


@BY_WHAT_LACKS_ITS_USER
def test_a_kind_whose_user_is_missing_belongs_to_its_channel_or_team(payload: dict[str, Any]) -> None:
    assert conversation_of(payload, "user") in {CHANNEL, TEAM}


def test_a_deleted_root_that_has_replies_belongs_to_its_author() -> None:
    """As every other deletion, though its replacement is Slackbot's."""
    replacement = {"subtype": "tombstone", "user": "USLACKBOT", "ts": "1.0", "thread_ts": "1.0"}
    before = {"user": "U1", "ts": "1.0", "thread_ts": "1.0"}
    event = {"type": "message", "subtype": "message_changed", "channel": CHANNEL, "message": replacement}
    assert conversation_of(envelope(event | {"previous_message": before}), "user") == "U1"
    assert conversation_of(envelope(event), "user") == "USLACKBOT"
    assert conversation_of(envelope(event | {"previous_message": before})) == CHANNEL
