"""The reasons of changes, which may quote what an agent must not read."""

from datetime import UTC, datetime

from abe_redis.mcp.change_text import changed
from abe_redis.mcp.trust import Trust
from abe_redis.schemas import Change


def buried(who: str, reason: str) -> Change:
    facts = {"stream": "slack_events", "group": "bot", "ids": ["1-1"], "reason": reason}
    return Change(at=datetime(2026, 1, 31, tzinfo=UTC), who=who, origin="cli", what="bury", facts=facts)


def test_a_change_in_several_streams_names_them_all() -> None:
    facts = {"whose": "a user", "erased": 3, "streams": ["slack_events", "dead:{slack_events}"]}
    one = Change(
        at=datetime(2026, 1, 31, tzinfo=UTC), who="ann@host", origin="cli", what="erase", facts=facts
    )
    (line,) = changed([one], "mcp-1").lines
    assert line.endswith('"erase" by "ann@host" of "slack_events" and "dead:{slack_events}", 3 erased')


def test_the_reasons_of_others_are_withheld_where_only_some_users_are_trusted() -> None:
    made = [buried("ann@host", "a stranger wrote this"), buried("mcp-1", "it was handled by hand")]
    told = changed(made, "mcp-1", withholds=Trust(users=frozenset(["U1"])).withholds)
    assert told.reasons == ["it was handled by hand"]
    assert "withheld" in told.lines[0]
    assert told.lines[1].endswith("(reason 1)")
    assert "stranger" not in told.text("data")
    assert len(changed(made, "mcp-1", withholds=Trust().withholds).reasons) == 2
