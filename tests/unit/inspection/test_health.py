"""What the numbers of a stream mean: what is wrong, since when, and what to do."""

from typing import Any

import pytest

from abe_redis import Settings
from abe_redis.inspection import health
from abe_redis.inspection.health import RULES, Situation, about_disuse, judge
from abe_redis.runtime.plurals import duration
from abe_redis.schemas import ConsumerStats, GroupStats, StreamStats

DAY = 86_400


def group(name: str = "g", *, alive: bool = True, **facts: Any) -> GroupStats:
    consumers = [ConsumerStats(name="c", pending=0, idle_seconds=1, alive=alive)]
    given: dict[str, Any] = {
        "pending": 0, "lag": 0, "last_delivered_id": "1-0", "paused": False, "lost": 0,
        "consumers": consumers,
    }  # fmt: skip
    return GroupStats(name=name, **given | facts)


def judged(*groups: GroupStats, length: int = 10, dead_letters: int = 0, **settings: Any) -> tuple[str, str]:
    stats = StreamStats(
        stream="s", length=length, dead_letters=dead_letters, groups=list(groups), health="ok", advice=""
    )
    return judge(stats, Settings(**settings))


def verdict(rule: str, *groups: GroupStats, length: int = 10, dead_letters: int = 0) -> tuple[Any, str]:
    """What one rule alone finds."""
    stats = StreamStats(
        stream="s", length=length, dead_letters=dead_letters, groups=list(groups), health="ok", advice=""
    )
    found = getattr(health, rule)(Situation(stats, Settings(redis_stream_maxlen=100)))
    return found.health, " ".join(found.said)


def consumers(**alive: bool) -> dict[str, Any]:
    return {
        "consumers": [
            ConsumerStats(name=name.replace("_", "-"), pending=0, idle_seconds=1, alive=is_alive)
            for name, is_alive in alive.items()
        ]
    }


BUSY = {"lag": 1, "oldest_undelivered_seconds": 5}
BEHIND = {"lag": 1, "oldest_undelivered_seconds": 61}
REMOVE = "start one; or, if the group is a mistake, remove it: `abe-redis group remove s g --force`."
START = f"and no consumer is alive: {REMOVE}"
RESUME = "and is paused: resume it when it may go on."
DISUSED = "Nobody has used group 'g' for 9.0 days, so trimming does not wait for it any more."
LETTER = "1 dead letter: read it with `abe-redis dead list s`."
OVER = "The backlog keeps it above its bound of 100 entries."
ONE = "Group 'g' has 0 pending and 1 not delivered yet (the oldest published"

HOLDER: dict[str, Any] = {"name": "c", "pending": 2, "idle_seconds": 40}
FROZEN = (
    "Consumer 'c' of group 'g' holds 2 events, and has been silent for 40 s: its process is gone or frozen, "
    "or its handler blocks the event loop. A live consumer takes over what it holds."
)
LONG: dict[str, Any] = {"pending": 1, "idle_seconds": 1, "alive": True}
STUCK: dict[str, Any] = {"name": "c", "pending": 2, "idle_seconds": 4, "holds": "7-0", "held_seconds": 300}
STUCK_SAID = (
    "Consumer 'c' of group 'g' has held event 7-0 for 5 min: if its handler never takes so long, see where "
    "it waits, give it a time limit, or restart that worker."
)


def held(*, alive: bool = True, **facts: Any) -> dict[str, Any]:
    """A group with a backlog and two consumers, of which one has held an event for long."""
    other = ConsumerStats(name="b", pending=1, idle_seconds=1, alive=True, holds="8-0", held_seconds=2)
    return BEHIND | {"pending": 3, "consumers": [other, ConsumerStats(**STUCK | facts, alive=alive)]}


ADD = "add consumers or make the handler faster."
HAS = "Group 'g' has 3 pending and 1 not delivered yet (the oldest published 61 s ago)"
SILENT_AND_HELD = FROZEN.replace("2 events", "2 events, 7-0 for 5 min").replace("40 s", "4 s")

WAIT = "4 events wait in group 'g' for a retry or a delay: the log of its workers says why."
ONE_WAITS = WAIT.replace("4 events wait", "1 event waits")
ONE_IS_HELD = FROZEN.replace("2 events", "1 event")
ALL_RETRIED = {"pending": 4, "postponed": 4}
RETRIES = (
    "Group 'g' has 4 pending (the oldest published 99 s ago) and 1 not delivered yet (the oldest published "
    "5 s ago)."
)
SLOW_FOR_RETRIES = "Group 'g' has 4 pending and 1 not delivered yet (the oldest published 61 s ago)."
RETRIED = {"lag": 1, "consumers": [ConsumerStats(**HOLDER, postponed=1, alive=False)]}
LEASED_BY_HAND = (
    "Consumer 'cli-me' of group 'g' holds 2 events, 7-0 for 5 min: somebody leased that with `abe-redis "
    "read`. Finish it with `abe-redis ack`, or leave it to a live worker."
)

RULE_BY_RULE = [
    ("unread", [], {}, ("unread", "It has 10 events and no group, so nobody reads it: start a consumer.")),
    ("unread", [], {"length": 0}, (None, "")),
    ("unread", [{}], {}, (None, "")),
    ("stalled", [BUSY | {"alive": False}], {}, ("stalled", f"{ONE} 5 s ago) {START}")),
    (
        "stalled",
        [BUSY | {"alive": False, "unused_seconds": 59}],
        {},
        ("stalled", f"{ONE} 5 s ago) and no consumer is alive: start one."),
    ),
    ("stalled", [BUSY | {"alive": False, "unused_seconds": 60}], {}, ("stalled", f"{ONE} 5 s ago) {START}")),
    ("stalled", [BUSY], {}, (None, "")),
    ("stalled", [BUSY | {"alive": False, "paused": True}], {}, (None, "")),
    ("backlog", [BEHIND], {}, ("backlog", f"{ONE} 61 s ago): add consumers or make the handler faster.")),
    ("backlog", [BUSY], {}, (None, "")),
    ("backlog", [BEHIND | ALL_RETRIED], {}, ("backlog", SLOW_FOR_RETRIES)),
    (
        "backlog",
        [BEHIND, BUSY | {"alive": False}],
        {},
        ("backlog", f"{ONE} 61 s ago): {ADD}"),
    ),
    ("backlog", [held()], {}, ("backlog", f"{HAS}.")),
    ("backlog", [held(alive=False)], {}, ("backlog", f"{HAS}.")),
    (
        "backlog",
        [held(held_seconds=29)],
        {},
        ("backlog", f"{HAS}: {ADD}"),
    ),
    ("paused", [BUSY | {"paused": True}], {}, ("paused", f"{ONE} 5 s ago) {RESUME}")),
    ("paused", [{"paused": True}], {}, (None, f"Group 'g' has 0 pending and 0 not delivered yet {RESUME}")),
    ("paused", [BUSY], {}, (None, "")),
    ("working", [BUSY], {}, ("working", f"{ONE} 5 s ago).")),
    ("working", [{}], {}, (None, "")),
    ("working", [BUSY, BEHIND], {}, (None, "")),
    ("working", [BUSY, BUSY | {"alive": False}], {}, (None, "")),
    ("retrying", [BUSY], {}, (None, "")),
    ("working", [BUSY | ALL_RETRIED | {"oldest_pending_seconds": 99}], {}, ("working", RETRIES)),
    ("retrying", [BUSY | ALL_RETRIED], {}, (None, WAIT)),
    ("retrying", [BUSY | ALL_RETRIED | {"postponed": 1}], {}, (None, ONE_WAITS)),
    ("retrying", [BUSY], {}, (None, "")),
    ("stuck", [held()], {}, (None, STUCK_SAID)),
    ("stuck", [held(held_seconds=30)], {}, (None, "")),
    ("stuck", [held(alive=False)], {}, (None, "")),
    ("stuck", [held() | {"paused": True}], {}, (None, "")),
    ("silent", [held(alive=False)], {}, (None, SILENT_AND_HELD)),
    ("silent", [RETRIED | {"pending": 2, "postponed": 2}], {}, (None, "")),
    ("silent", [RETRIED | {"pending": 300, "postponed": 1}], {}, (None, ONE_IS_HELD)),
    ("silent", [held(alive=False, name="cli-me")], {}, (None, LEASED_BY_HAND)),
    ("silent", [{"pending": 2, "consumers": [ConsumerStats(**HOLDER, alive=False)]}], {}, (None, FROZEN)),
    ("silent", [{"pending": 2, "consumers": [ConsumerStats(**HOLDER, alive=True)]}], {}, (None, "")),
    ("silent", [BUSY | {"alive": False}], {}, (None, "")),
    ("disused", [BUSY | {"unused_seconds": 9 * DAY}], {}, (None, DISUSED)),
    ("disused", [{"unused_seconds": 9 * DAY}], {}, (None, "")),
    ("lost", [{"lost": 1}], {}, (None, "Group 'g' lost 1 event: removed before it had finished with them.")),
    ("lost", [{}], {}, (None, "")),
    ("dead_letters", [{}], {"dead_letters": 1}, ("dead_letters", LETTER)),
    ("dead_letters", [{}], {}, (None, "")),
    ("above_bound", [BUSY], {"length": 1000}, (None, OVER)),
    ("above_bound", [{"paused": True}], {"length": 1000}, (None, OVER)),
    ("above_bound", [{}], {"length": 1000}, (None, "")),
    ("above_bound", [BUSY], {"length": 100}, (None, "")),
]


@pytest.mark.parametrize(("rule", "groups", "stream", "found"), RULE_BY_RULE)
def test_each_rule_judges_alone(
    rule: str, groups: list[dict[str, Any]], stream: dict[str, Any], found: tuple[str | None, str]
) -> None:
    assert verdict(rule, *(group(**facts) for facts in groups), **stream) == found


def test_of_many_that_hold_events_for_long_the_longest_are_named() -> None:
    consumers = [
        ConsumerStats(
            name=f"c{n}", pending=1, idle_seconds=1, alive=True, holds=f"{n}-0", held_seconds=100 * n
        )
        for n in range(1, 6)
    ]
    _, said = verdict("stuck", group(pending=5, consumers=consumers))
    assert said.index("'c5'") < said.index("'c4'") < said.index("'c3'")
    assert said.endswith("2 more consumers of it hold events beyond a lease, too.")


def test_each_rule_is_tested_by_itself() -> None:
    assert [rule.__name__ for rule in RULES] == list(dict.fromkeys(row[0] for row in RULE_BY_RULE))


def test_the_first_rule_that_finds_a_state_says_the_health() -> None:
    busy, paused = group("busy", lag=1), group("paused", lag=1, paused=True)
    found, said = judged(busy, paused, dead_letters=1)
    assert found == "paused"
    assert said.index("Group 'paused'") < said.index("Group 'busy'") < said.index("1 dead letter")


NOTHING = ("ok", "Nothing is waiting.")


@pytest.mark.parametrize(
    ("length", "said"),
    [
        (0, NOTHING),
        (1, ("unread", "It has 1 event and no group, so nobody reads it: start a consumer.")),
        (2, ("unread", "It has 2 events and no group, so nobody reads it: start a consumer.")),
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
        f"{WORK} and no consumer is alive: start one.",
    )
    assert judged(group(pending=2, lag=3, oldest_pending_seconds=5, paused=True)) == (
        "paused",
        f"{WORK} and is paused: resume it when it may go on.",
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
            f"{REMOVE.replace('remove s g', 'remove s stalled')} "
            "Group 'behind' has 0 pending and 1 not delivered yet (the oldest published 61 s ago): add "
            "consumers or make the handler faster."
        ),
    )
    assert judged(busy, behind, paused) == (
        "backlog",
        (
            "Group 'behind' has 0 pending and 1 not delivered yet (the oldest published 61 s ago): add "
            "consumers or make the handler faster. Group 'paused' has 0 pending and 1 not delivered yet and "
            "is paused: resume it when it may go on."
        ),
    )
    assert judged(stalled, paused)[0] == "stalled"
    assert judged(busy, paused)[0] == "paused"
    assert judged(busy, group("other", paused=True))[0] == "working"


def test_an_unknown_lag_is_reported_as_unknown() -> None:
    assert judged(group(pending=1, lag=None))[1] == (
        "Group 'g' has 1 pending and an unknown number of events not delivered yet."
    )


def test_losses_are_reported_even_beside_waiting_events() -> None:
    assert judged(group("a", lost=1), group("b", lost=2), group("c")) == (
        "ok",
        (
            "Group 'a' lost 1 event: removed before it had finished with them. "
            "Group 'b' lost 2 events: removed before it had finished with them."
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
    assert about_disuse(group(unused_seconds=seconds), settings) == said
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
    assert said.endswith("and no consumer is alive: start one.")
    alone = GroupStats.model_validate(group("agents", pending=2).model_dump() | {"consumers": []})
    _, said = judged(alone)
    assert "and no consumer is alive: an agent takes them with lease_events" in said
