"""Each rule about the health of a stream, by itself: the state that it finds, and what it says."""

from typing import Any

import pytest

from abe_redis import Settings
from abe_redis.inspection import health
from abe_redis.inspection.health import RULES
from abe_redis.inspection.situation import Situation
from abe_redis.schemas import ConsumerStats, GroupStats, StreamStats
from tests.unit.inspection.groups_to_judge import BUSY, DAY, REMOVE, START, UNUSED, group, judged


def verdict(rule: str, *groups: GroupStats, **facts: Any) -> tuple[Any, str]:
    """What one rule alone finds."""
    given = {"length": 10, "dead_letters": 0} | facts
    stats = StreamStats(stream="s", groups=list(groups), health="ok", advice="", **given)
    found = getattr(health, rule)(Situation(stats, Settings(redis_stream_maxlen=100)))
    return found.health, " ".join(one.words for one in found.said)


BEHIND = {"lag": 1, "oldest_undelivered_seconds": 61}
NOBODY = "and no consumer is alive:"
RESUME = "and is paused: resume it when it may go on (`abe-redis group resume s g`)."
UNUSED_LONG = "Nobody has used group 'g' for 9.0 days"
DISUSED = f"{UNUSED_LONG}, so trimming does not wait for it any more."
SOON = f"{UNUSED_LONG}: when trimming has seen that for another 40 min, it will not wait for it any more."
SEEN: dict[str, Any] = {"unused_seconds": 9 * DAY, "seen_unused_seconds": 3600}
LETTER = "1 dead letter: read it with `abe-redis dead list s`."
OVER = "The backlog keeps it above its bound of 100 entries."
ONE = "Group 'g' has 0 pending and 1 not delivered yet (the oldest published"
HOLDER: dict[str, Any] = {"name": "c", "pending": 2, "idle_seconds": 40}
FROZEN = (
    "Consumer 'c' of group 'g' holds 2 events, and has been silent for 40 s: its process is gone or frozen, "
    "or its handler blocks the event loop. A live consumer takes over what it holds."
)
ENDED: dict[str, Any] = HOLDER | {"alive": False, "ended": True}
HAS_ENDED = (
    "Consumer 'c' of group 'g' has ended and left 2 events unfinished. A live consumer takes over what it "
    "left, at the end of its lease."
)
STUCK: dict[str, Any] = {"name": "c", "pending": 2, "idle_seconds": 4, "holds": "7-0", "held_seconds": 300}
HUNG = STUCK | {"alive": True, "full": True}
HANGS = (
    "Consumer 'c' of group 'g' takes no events: functions beyond their limit hold all its places, 7-0 for 5 "
    "min. See where they wait, give that a limit of its own, and restart that worker: others then handle its "
    "events."
)
ONE_ALIVE = ConsumerStats(name="b", pending=1, idle_seconds=1, alive=True)
STUCK_SAID = (
    "Consumer 'c' of group 'g' has held event 7-0 for 5 min: if its handler never takes so long, see where "
    "it waits, give it a time limit (a plain function needs one of its own), or restart that worker."
)


def held(*, alive: bool = True, **facts: Any) -> dict[str, Any]:
    """A group with a backlog and two consumers, of which one has held an event for long."""
    other = ConsumerStats(name="b", pending=1, idle_seconds=1, alive=True, holds="8-0", held_seconds=2)
    return BEHIND | {"pending": 3, "consumers": [other, ConsumerStats(**STUCK | facts, alive=alive)]}


ADD = "add consumers or make the handler faster."
HAS = "Group 'g' has 3 pending and 1 not delivered yet (the oldest published 61 s ago)"
SILENT_AND_HELD = FROZEN.replace("2 events", "2 events, 7-0 for 5 min").replace("40 s", "4 s")
WAIT = "4 events wait in group 'g' for a retry or a delay: `abe-redis read s --group g --waiting` says why."
ONE_WAITS = WAIT.replace("4 events wait", "1 event waits")
ONE_IS_HELD = FROZEN.replace("2 events", "1 event")
ALL_RETRIED = {"pending": 4, "postponed": 4}
RETRIES = (
    "Group 'g' has 4 pending, all postponed (the oldest published 99 s ago) and 1 not delivered yet (the "
    "oldest published 5 s ago)."
)
SLOW_FOR_RETRIES = (
    "Group 'g' has 4 pending, all postponed and 1 not delivered yet (the oldest published 61 s ago)."
)
RETRIED = {"lag": 1, "consumers": [ConsumerStats(**HOLDER, postponed=1, alive=False)]}
LEASED_BY_HAND = (
    "Consumer 'cli-me' of group 'g' has 2 events, 7-0 for 5 min: somebody leased that at the command "
    "line, and the lease is over. Finish them with `abe-redis ack s ID --group g --consumer cli-me` "
    "(`abe-redis read s --group g --pending` shows the ids), or leave them to the next consumer."
)
ONE_BY_HAND = (
    "Consumer 'ann' of group 'g' has 1 event, 7-0 for 5 min: somebody leased that at the command line, and "
    "the lease is over. Finish it with `abe-redis ack s 7-0 --group g --consumer ann`, or leave it to the "
    "next consumer."
)
KEPT_BY_AGENT = (
    "Consumer 'mcp-me' of group 'g' has held event 7-0 for 5 min: an agent leased that, and keeps it while "
    "it makes calls and for ten minutes more. It settles it with `ack` or `release`."
)
LATER: dict[str, Any] = {"pending": 1, "postponed": 1, "alive": False}
NOT_NOW = "Group 'g' has 1 pending, all postponed and 0 not delivered yet and no"
PERSON: dict[str, Any] = {"name": "cli-me", "lease_seconds": 30}
BY_NAME = PERSON | {"name": "ann", "kind": "person"}
AHEAD = (
    "Group 'g' stands at 9-0, beyond the end of the stream, and skips every event: somebody set it there by "
    "hand (XGROUP SETID or CREATE). "
)
SET_AHEAD: dict[str, Any] = {"beyond_end": True, "last_delivered_id": "9-0"}
SETS_BACK = "Its consumers set it back within seconds."
START_OR_MOVE = (
    f"Its next consumer sets it back to where it was: {START[:-1]}, or move it with `abe-redis group reset s "
    "g --from …`."
)
NO_GROUP = (
    "It has 10 events and no group, so nobody reads it: start a worker: `abe-redis worker MODULE:HANDLER "
    "--group GROUP`."
)
OF_TOPIC = f"{NO_GROUP[:-1]} (the group of its topic).".replace("GROUP`", "bot`")
FULL = (
    "It is full: at 10 entries (REDIS_STREAM_HARD_MAXLEN of publishers; here it is 1000000) every publish is "
    "refused, as its consumers are behind. Start or add consumers, or raise REDIS_STREAM_HARD_MAXLEN where "
    "events are published."
)
FULL_HERE = FULL.replace("10 entries", "1000000 entries").replace(" of publishers; here it is 1000000", "")
KEPT = " All is kept until then; at 1000000 entries (REDIS_STREAM_HARD_MAXLEN) publishing is refused."
SPENT = "Its last id is the largest there is, so it takes no event: every publish is refused. Somebody "
SET_BY_HAND = (
    "set it by hand (XSETID). It takes events again after `redis-cli XSETID s 7-0`, and its workers go on."
)
ADDED = (
    "added an entry with that id, and Redis does not take it back. Let its groups finish, then rename or "
    "delete it (`redis-cli RENAME s NAME`): the next publish makes it anew."
)
RULE_BY_RULE = [
    ("spent", [], {"last_id_for_spent": "7-0"}, ("stalled", SPENT + SET_BY_HAND)),
    ("spent", [], {"last_id_for_spent": ""}, ("stalled", SPENT + ADDED)),
    ("spent", [], {}, (None, "")),
    ("full", [BUSY], {"full_at": 10}, ("stalled", FULL)),
    ("full", [BUSY], {"full_at": 1_000_000}, ("stalled", FULL_HERE)),
    ("full", [BUSY | {"paused": True}], {"full_at": 10}, ("stalled", FULL)),
    (
        "full",
        [{"paused": True}],
        {"full_at": 10},
        ("stalled", FULL.replace("its consumers are behind", "nobody has trimmed it")),
    ),
    ("full", [], {"full_at": 10}, ("stalled", FULL.replace("its consumers are behind", "nobody reads it"))),
    ("full", [BUSY], {}, (None, "")),
    ("beyond_end", [SET_AHEAD], {}, ("stalled", AHEAD + SETS_BACK)),
    ("beyond_end", [SET_AHEAD | {"alive": False}], {}, ("stalled", AHEAD + START_OR_MOVE)),
    ("beyond_end", [{}], {}, (None, "")),
    ("unread", [], {}, ("unread", NO_GROUP)),
    ("unread", [], {"length": 1000}, ("unread", NO_GROUP.replace("10 events", "1000 events") + KEPT)),
    ("unread", [], {"length": 1000, "full_at": 1000}, ("unread", NO_GROUP.replace("10 ev", "1000 ev"))),
    ("unread", [], {"topic_groups": ["bot"]}, ("unread", OF_TOPIC)),
    (
        "unread",
        [],
        {"topic_groups": ["a", "b"]},
        ("unread", f"{NO_GROUP[:-1]} (its topic has the groups 'a', 'b')."),
    ),
    ("unread", [], {"length": 0}, (None, "")),
    ("unread", [{}], {}, (None, "")),
    ("stalled", [BUSY | {"alive": False}], {}, ("stalled", f"{ONE} 5 s ago) {NOBODY} {START}")),
    ("stalled", [BUSY | UNUSED], {}, ("stalled", f"{ONE} 5 s ago) {NOBODY} {REMOVE}")),
    (
        "stalled",
        [BUSY | UNUSED | {"unused_seconds": 59}],
        {},
        ("stalled", f"{ONE} 5 s ago) {NOBODY} {START}"),
    ),
    (
        "stalled",
        [BUSY | UNUSED | {"unused_seconds": 60}],
        {},
        ("stalled", f"{ONE} 5 s ago) {NOBODY} {REMOVE}"),
    ),
    ("stalled", [BUSY], {}, (None, "")),
    ("stalled", [BUSY | {"alive": False, "paused": True}], {}, (None, "")),
    ("stalled", [LATER], {}, ("stalled", f"{NOT_NOW} consumer is alive to take what is due later: {START}")),
    (
        "stalled",
        [LATER | {"consumers": [ConsumerStats(**HOLDER | {"name": "mcp-a"}, alive=True, postponed=2)]}],
        {},
        ("stalled", f"{NOT_NOW} worker is alive to take what is due later: {START}"),
    ),
    ("hung", [{"lag": 1, "consumers": [ConsumerStats(**HUNG)]}], {}, ("stalled", HANGS)),
    ("hung", [{"lag": 1, "consumers": [ConsumerStats(**HUNG), ONE_ALIVE]}], {}, (None, HANGS)),
    ("hung", [{"consumers": [ConsumerStats(**HUNG)]}], {}, (None, "")),
    ("hung", [BUSY], {}, (None, "")),
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
    ("backlog", [held(**PERSON)], {}, ("backlog", f"{HAS}: {ADD}")),
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
    ("stuck", [held(**PERSON)], {}, (None, "")),
    ("stuck", [held(name="mcp-me")], {}, (None, KEPT_BY_AGENT)),
    ("stuck", [held(held_seconds=30)], {}, (None, "")),
    ("stuck", [held(held_seconds=30, lease_seconds=5)], {}, (None, STUCK_SAID.replace("5 min", "30 s"))),
    ("stuck", [held(lease_seconds=600)], {}, (None, "")),
    ("backlog", [held(held_seconds=30, lease_seconds=5)], {}, ("backlog", f"{HAS}.")),
    ("stuck", [held(full=True)], {}, (None, "")),
    ("backlog", [held(held_seconds=29, full=True)], {}, ("backlog", f"{HAS}.")),
    ("stuck", [held(alive=False)], {}, (None, "")),
    ("stuck", [held() | {"paused": True}], {}, (None, "")),
    ("silent", [held(alive=False)], {}, (None, SILENT_AND_HELD)),
    ("silent", [RETRIED | {"pending": 2, "postponed": 2}], {}, (None, "")),
    ("silent", [RETRIED | {"pending": 300, "postponed": 1}], {}, (None, ONE_IS_HELD)),
    ("silent", [held(alive=False, **PERSON)], {}, (None, LEASED_BY_HAND)),
    ("silent", [held(**PERSON)], {}, (None, LEASED_BY_HAND)),
    ("silent", [held(**PERSON | {"lease_seconds": 300})], {}, (None, "")),
    ("silent", [held(**BY_NAME | {"pending": 1}, alive=False)], {}, (None, ONE_BY_HAND)),
    ("silent", [{"pending": 2, "consumers": [ConsumerStats(**HOLDER, alive=False)]}], {}, (None, FROZEN)),
    ("silent", [{"pending": 2, "consumers": [ConsumerStats(**HOLDER, alive=True)]}], {}, (None, "")),
    ("silent", [BUSY | {"alive": False}], {}, (None, "")),
    ("silent", [{"pending": 2, "consumers": [ConsumerStats(**ENDED)]}], {}, (None, HAS_ENDED)),
    (
        "silent",
        [{"pending": 2, "consumers": [ConsumerStats(**ENDED, lease_seconds=30)]}],
        {},
        (None, f"{HAS_ENDED[:-1]} of 30 s."),
    ),
    ("disused", [BUSY | SEEN], {}, (None, DISUSED)),
    ("disused", [BUSY | SEEN | {"seen_unused_seconds": 1200}], {}, (None, SOON)),
    ("disused", [SEEN], {}, (None, "")),
    (
        "lost",
        [{"lost": 1}],
        {},
        (
            None,
            "Group 'g' lost 1 event: removed, or dropped with a consumer, before it had finished with them.",
        ),
    ),
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
