"""What the numbers of a stream mean: what is wrong, since when, and what to do."""

from typing import Any

import pytest

from abe_redis import Settings
from abe_redis.inspection.disuse import about_disuse
from abe_redis.runtime.plurals import duration
from abe_redis.schemas import ConsumerStats, GroupStats
from tests.unit.inspection.groups_to_judge import BUSY, DAY, START, consumers, group, judged

WORKER = "start a worker: `abe-redis worker MODULE:HANDLER --group GROUP`."
NOTHING = ("ok", "Nothing is waiting.")


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, NOTHING),
        (1, ("unread", f"It has 1 event and no group, so nobody reads it: {WORKER}")),
        (2, ("unread", f"It has 2 events and no group, so nobody reads it: {WORKER}")),
    ],
)
def test_a_stream_without_a_group(length: int, said: tuple[str, str]) -> None:
    assert judged(length=length) == said


def test_a_group_that_has_finished() -> None:
    assert judged(group()) == NOTHING
    assert judged(group(alive=False)) == NOTHING


WORK = "Group 'g' has 2 pending (the oldest published 5 s ago) and 3 not delivered yet"


def test_a_group_at_work() -> None:
    busy = group(pending=2, lag=3, oldest_pending_seconds=5)
    assert judged(group("idle"), busy) == ("working", f"{WORK}.")
    assert judged(group(pending=2, lag=3, oldest_pending_seconds=5, alive=False)) == (
        "stalled",
        f"{WORK} and no consumer is alive: {START}",
    )
    assert judged(group(pending=2, lag=3, oldest_pending_seconds=5, paused=True)) == (
        "paused",
        f"{WORK} and is paused: resume it when it may go on (`abe-redis group resume s g`).",
    )


@pytest.mark.parametrize(
    ("facts", "health"),
    [
        ({"lag": 1, "oldest_undelivered_seconds": 61}, "backlog"),
        ({"lag": 1, "oldest_undelivered_seconds": 60}, "working"),
        ({"lag": 1, "pending": 1, "oldest_pending_seconds": 61, "oldest_undelivered_seconds": 3}, "backlog"),
        ({"lag": 1, "pending": 1, "oldest_pending_seconds": 3, "oldest_undelivered_seconds": 61}, "backlog"),
        ({"lag": 1}, "working"),
        ({"lag": None, "oldest_undelivered_seconds": 5}, "working"),
        ({"lag": None, "oldest_undelivered_seconds": 61}, "backlog"),
        ({"lag": None, "oldest_undelivered_seconds": 5, "alive": False}, "stalled"),
        ({"lag": 1, "oldest_undelivered_seconds": 61, "alive": False}, "stalled"),
        ({"pending": 1, "oldest_pending_seconds": 61}, "working"),
        ({"lag": None, "pending": 1, "oldest_pending_seconds": 61}, "working"),
        ({"lag": None}, "ok"),
        ({"lag": 1, "oldest_undelivered_seconds": 61, "paused": True}, "paused"),
        ({"pending": 1, "paused": True}, "paused"),
        ({"lag": 1, "paused": True}, "paused"),
        ({"paused": True}, "ok"),
    ],
)
def test_health_follows_from_the_state_of_the_group(facts: dict[str, Any], health: str) -> None:
    assert judged(group(**facts))[0] == health


def test_the_worst_comes_first_and_hides_no_other_trouble() -> None:
    behind = group("behind", lag=1, oldest_undelivered_seconds=61)
    stalled = group("stalled", lag=1, alive=False)
    paused = group("paused", lag=1, paused=True)
    busy = group("busy", lag=1)
    assert judged(behind, stalled, busy) == (
        "stalled",
        (
            f"Group 'stalled' has 0 pending and 1 not delivered yet and no consumer is alive: "
            f"{START.replace('group g', 'group stalled')}\n"
            "Group 'behind' has 0 pending and 1 not delivered yet (the oldest published 61 s ago): add "
            "consumers or make the handler faster."
        ),
    )
    assert judged(busy, behind, paused) == (
        "backlog",
        (
            "Group 'behind' has 0 pending and 1 not delivered yet (the oldest published 61 s ago): add "
            "consumers or make the handler faster.\nGroup 'paused' has 0 pending and 1 not delivered yet and "
            "is paused: resume it when it may go on (`abe-redis group resume s paused`)."
        ),
    )
    assert judged(stalled, paused)[0] == "stalled"
    assert judged(busy, paused)[0] == "paused"
    assert judged(busy, group("other", paused=True))[0] == "working"


def test_all_about_a_group_is_one_line_and_those_with_most_to_do_come_first() -> None:
    few, many = group("few", lag=1, alive=False), group("many", lag=5, alive=False, lost=2)
    many.unused_seconds = 9 * DAY
    _, said = judged(few, many, dead_letters=1)
    first, second, last = said.splitlines()
    assert first.startswith("Group 'many' has 0 pending and 5 not delivered yet and no consumer is alive:")
    assert "Nobody has used group 'many' for 9.0 days" in first
    assert "Group 'many' lost 2 events" in first
    assert second.startswith("Group 'few'")
    assert last == "1 dead letter: read it with `abe-redis dead list s`."


def test_an_unknown_lag_is_reported_as_unknown() -> None:
    assert judged(group(pending=1, lag=None))[1] == (
        "Group 'g' has 1 pending and an unknown number of events (some behind its place were removed, and "
        "too many are left to count: Redis knows the number again when the group has been given as far as "
        "the last removed one) not delivered yet."
    )


def test_losses_are_reported_even_beside_waiting_events() -> None:
    assert judged(group("a", lost=1), group("b", lost=2), group("c")) == (
        "ok",
        (
            "Group 'a' lost 1 event: removed, or dropped with a consumer, before it had finished with them.\n"
            "Group 'b' lost 2 events: removed, or dropped with a consumer, before it had finished with them."
        ),
    )


def test_dead_letters_are_told_when_nothing_else_is_wrong() -> None:
    where = "with `abe-redis dead list s`."
    assert judged(group(), dead_letters=1) == ("dead_letters", f"1 dead letter: read it {where}")
    assert judged(group(), dead_letters=2) == ("dead_letters", f"2 dead letters: read them {where}")
    health, said = judged(group(lag=1), dead_letters=1)
    assert health == "working"
    assert said.endswith(where)


def test_a_backlog_above_maxlen_is_reported() -> None:
    over = "The backlog keeps it above its bound of 10 entries."
    assert over in judged(group(lag=1), length=1000, redis_stream_maxlen=10)[1]
    assert over in judged(group(lag=1, paused=True), length=1000, redis_stream_maxlen=10)[1]
    assert judged(group(), length=1000, redis_stream_maxlen=10) == NOTHING
    assert over not in judged(group(lag=1), length=20, redis_stream_maxlen=10)[1]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (119, "119 s"),
        (120, "2 min"),
        (7199, "120 min"),
        (7200, "2 h"),
        (2 * DAY - 1, "48 h"),
        (2 * DAY, "2 d"),
        (10 * DAY, "10 d"),
    ],
)
def test_a_time_as_people_say_it(seconds: float, said: str) -> None:
    assert duration(seconds) == said


SINCE = "Nobody has used group 'g' for"


@pytest.mark.parametrize(
    ("days", "unused", "said"),
    [
        (7, None, None),
        (0, 100, None),
        (7, 5.9, None),
        (7, 6, f"{SINCE} 6.0 days: in 1.0 days trimming will not wait for it any more."),
        (7, 6.5, f"{SINCE} 6.5 days: in 0.5 days trimming will not wait for it any more."),
        (7, 7, f"{SINCE} 7.0 days, so trimming does not wait for it any more."),
        (7, 9, f"{SINCE} 9.0 days, so trimming does not wait for it any more."),
        (1, 0.4, None),
        (1, 0.5, f"{SINCE} 0.5 days: in 0.5 days trimming will not wait for it any more."),
    ],
)
def test_a_group_that_nobody_uses(days: float, unused: float | None, said: str | None) -> None:
    settings = Settings(redis_stream_group_idle_days=days)
    seconds = None if unused is None else unused * DAY
    assert about_disuse(group(unused_seconds=seconds, seen_unused_seconds=3600), settings) == said
    assert about_disuse(group(unused_seconds=seconds, paused=True), settings) is None


def test_disuse_is_told_of_those_that_have_something_to_do() -> None:
    unused: dict[str, Any] = {"unused_seconds": 9 * DAY, "alive": False}
    assert SINCE in judged(group(lag=1, **unused))[1]
    assert SINCE not in judged(group(**unused))[1]


@pytest.mark.parametrize(
    ("name", "those", "expected"),
    [
        ("agents", {"mcp_a": True}, "working"),
        ("agents", {"mcp_a": True, "mcp_b": False}, "working"),
        ("agents", {"mcp_a": True, "worker_1": False}, "stalled"),
        ("agents", {"mcp_a": False, "worker_1": True}, "working"),
        ("bot", {"mcp_a": True}, "stalled"),
        ("bot", {"mcp_a": True, "worker_1": False}, "stalled"),
    ],
)
def test_no_agent_hides_that_workers_are_gone_whatever_their_group_is_called(
    name: str, those: dict[str, bool], expected: str
) -> None:
    found, _ = judged(group(name, **BUSY | consumers(**those)))
    assert found == expected


@pytest.mark.parametrize(
    ("name", "holds", "is_said"), [("mcp-a", None, False), ("mcp-a", "1-0", True), ("w", None, True)]
)
def test_what_an_ended_agent_has_postponed_is_not_held_by_a_dead_process(
    name: str, holds: str | None, is_said: bool
) -> None:
    gone = ConsumerStats(name=name, pending=2, idle_seconds=600, alive=False, holds=holds)
    _, said = judged(group("bot", pending=2, consumers=[gone]))
    assert ("silent for" in said) == is_said


def test_the_agents_own_group_without_one_says_what_an_agent_does() -> None:
    _, said = judged(group("agents", pending=2, lag=3, oldest_pending_seconds=5, alive=False))
    assert said.startswith("Group 'agents' has 2 pending")
    assert said.endswith(f"and no consumer is alive: {START.replace('group g', 'group agents')}")
    alone = GroupStats.model_validate(group("agents", pending=2).model_dump() | {"consumers": []})
    _, said = judged(alone)
    assert "and no consumer is alive: an agent takes them with lease_events" in said
