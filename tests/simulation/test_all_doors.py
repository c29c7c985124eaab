"""Stories of agents, and of publishers with an outbox."""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.simulation.all_doors import AllDoors
from tests.simulation.look import pending


@pytest.fixture
def story() -> Iterator[AllDoors]:
    """Event 0 is done by the only worker."""
    told = AllDoors()
    with told._open:  # until its end, also when it fails before that
        told.begin(seed=2, limit=2, concurrency=1, both=False, maxlen=10_000, delay=0.3)
        told.wait(seconds=2.6)
        yield told


def done(story: AllDoors) -> dict[str, Counter[str]]:
    """How often each event ended well, with agents and with workers."""
    found: dict[str, Counter[str]] = {"agents": Counter(), "workers": Counter()}
    for record in story._its.history.records:
        if record.what == "done":
            found["agents" if record.process in story._its.history.agents else "workers"][record.event] += 1
    return found


def take(story: AllDoors, *, waits: float = 5.0, blocks: float = 0.0) -> None:
    story.lease(at=0, most=3, waits=waits, chosen=False, blocks=blocks)


def test_an_agent_finishes_what_it_leases(story: AllDoors) -> None:
    story.fail(what="kill", who=0, value=0.0)
    story.publish(stream="slack:a", count=2, seconds=0.0, fails=0)
    story.wait(seconds=0.1)
    take(story)
    story.steal(at=0, who=0, how="ack", under_its_name=False)
    story.settle(at=0, how="ack", most=3, delay=0.0, waits=5.0)
    story.teardown()
    assert done(story) == {"agents": {"1": 1, "2": 1}, "workers": {"0": 1}}


@pytest.mark.parametrize("ends", ["killed", "silent", "cut off"])
def test_what_an_agent_leaves_goes_to_a_worker(story: AllDoors, ends: str) -> None:
    story.fail(what="kill", who=0, value=0.0)
    story.publish(stream="slack:a", count=1, seconds=0.0, fails=0)
    story.wait(seconds=0.1)
    take(story)
    if ends == "silent":
        story.agent_waits(at=0, seconds=3.5, calls=False)
        assert [name for _, name in pending(story._its.world.server.db, "slack:a", "g")] == ["abe:nobody"]
    else:
        story.fail_agent(at=0, what="kill" if ends == "killed" else "hold commands", value=1.4)
    story.teardown()
    assert done(story)["workers"] == {"0": 1, "1": 1}


def test_an_agent_settles_nothing_that_others_hold(story: AllDoors) -> None:
    story.publish(stream="slack:a", count=1, seconds=1.2, fails=0)
    story.wait(seconds=0.1)
    for how in ("ack", "release", "bury"):
        for under_its_name in (False, True):
            story.steal(at=0, who=0, how=how, under_its_name=under_its_name)
    assert len(pending(story._its.world.server.db, "slack:a", "g")) == 1
    story.teardown()
    assert done(story)["workers"]["1"] == 1


@pytest.mark.parametrize("refuses", [False, True], ids=["away", "refuses"])
def test_what_waits_in_the_outbox_of_a_killed_publisher_is_done_once(story: AllDoors, refuses: bool) -> None:
    """Slack sends it again to another one, which Redis takes at once or which waits, too."""
    story.be_away(seconds=3.0, refuses=refuses)
    story.publish(stream="slack:a", count=2, seconds=0.0, fails=0)
    story.wait(seconds=2.6)
    assert story._outbox is not None
    with closing(sqlite3.connect(story._outbox)) as file:
        assert file.execute("SELECT count(*) FROM event").fetchone() == (2,)
    story.kill_host()
    story.publish_again(at=1)
    story.wait(seconds=2.6)
    with closing(sqlite3.connect(story._outbox)) as file:
        assert file.execute("SELECT count(*) FROM event").fetchone() == (0,)
    story.teardown()
    assert done(story)["workers"] == {"0": 1, "1": 1, "2": 1}


@pytest.mark.parametrize("how", ["Redis is away", "all is removed", "the group is removed"])
def test_a_pause_is_none_that_redis_has_not_or_no_longer(story: AllDoors, how: str) -> None:
    if how == "Redis is away":
        story.be_away(seconds=0.5, refuses=False)
    story.operate(what="pause", stream="slack:a", group="g")
    story.wait(seconds=2.6)
    if how == "all is removed":
        story.flush()
    elif how == "the group is removed":
        story.operate(what="remove", stream="slack:a", group="g")
    story.publish(stream="slack:a", count=1, seconds=0.0, fails=0)
    story.wait(seconds=2.6)
    assert done(story)["workers"]["1"] == 1
    story.teardown()
