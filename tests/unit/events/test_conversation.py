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
