"""Sentences about events: of paused groups, of streams without a group, of dead letters, and of counts."""

import re
from contextlib import aclosing
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis.mcp import event_text
from abe_redis.mcp.agent_events import agent_count, agent_read
from abe_redis.mcp.trust import Trust
from abe_redis.operations.operations import Operations
from abe_redis.schemas import ReadResult
from abe_redis.streams import names
from tests.integration.cli.command_runs import answer, at, run
from tests.integration.conftest import MakeBackend

__all__ = ["at"]

TOPIC = "slack_events"
pytestmark = pytest.mark.usefixtures("at")


def publish(stream: str = TOPIC, **environment: str) -> str:
    return str(
        re.findall(r"added as (\S+)", run("publish", '{"n": 1}', "-s", stream, **environment).stdout)[0]
    )


def done(line: str, **environment: str) -> str:
    result = run(*line.split(), **environment)
    assert result.returncode == 0, result.stderr
    return " ".join(result.stdout.split())


async def for_agent(result: ReadResult) -> str:
    return event_text.read(await agent_read(result, "none", max_chars=8000, trust=Trust()), "data")


async def test_nobody_gets_a_free_event_of_a_paused_group(make_backend: MakeBackend) -> None:
    entry_id = publish()
    done(f"read {TOPIC} --group bot")
    done(f"release {TOPIC} {entry_id} --group bot")
    done(f"group pause {TOPIC} bot")
    agent = Operations(make_backend(), origin="mcp")
    for mode in ("waiting", "pending"):
        said = done(f"read {TOPIC} --group bot --{mode}")
        assert "free, but its group is paused" in said
        assert "The group is paused: nothing is delivered until it is resumed." in said
        assert answer("read", TOPIC, "--group", "bot", f"--{mode}")["paused"] is True
        asked: Any = {mode: True}
        shown = await for_agent(await agent.read_stream(stream=TOPIC, group="bot", **asked))
        assert "free, but its group is paused" in shown
    assert "group bot: free, but its group is paused" in done(f"read --event-id {entry_id}")
    assert 'Group "bot": free, but its group is paused.' in await for_agent(await agent.find_event(entry_id))
    done(f"group resume {TOPIC} bot")
    assert "free: the next consumer gets it" in done(f"read {TOPIC} --group bot --waiting")


async def test_an_event_that_no_group_reads_names_those_of_its_topic(make_backend: MakeBackend) -> None:
    entry_id = publish("slack_events:p3", REDIS_STREAM_PARTITIONS="4")
    found = f"read --event-id {entry_id}"
    assert done(found).endswith("Nothing was changed. No group reads 'slack_events:p3' yet.")
    done(f"group create {TOPIC} bot --create-stream")
    said = (
        "No group reads 'slack_events:p3' yet. Its topic has a group elsewhere ('bot'), whose workers read "
        "it, too, from the oldest event on."
    )
    assert said in done(found)
    agent = Operations(make_backend(), origin="mcp")
    assert said in await for_agent(await agent.find_event(entry_id))


def test_a_dead_letter_is_doubted_once_the_group_was_replayed() -> None:
    entry_id = publish()
    done(f"group create {TOPIC} bot")
    done(f"dead bury {TOPIC} {entry_id} --group bot --reason spam")
    found = f"read --event-id {entry_id}"
    assert "group bot: given up on; see `abe-redis dead show" in done(found)
    assert answer(*found.split())["handled"][0]["again"] is False
    done(f"group replay {TOPIC} bot --from beginning --yes")
    ((leased,),) = [answer("read", TOPIC, "--group", "bot")["events"]]
    done(f"ack {TOPIC} {leased['id']} --group bot")
    assert "group bot: given up on, unless a replay has finished it since; see" in done(found)
    assert answer(*found.split())["handled"][0]["again"] is True


def test_what_was_given_up_on_again_after_a_replay_is_in_no_doubt() -> None:
    entry_id = publish()
    done(f"group create {TOPIC} bot")
    done(f"dead bury {TOPIC} {entry_id} --group bot --reason spam")
    done(f"group replay {TOPIC} bot --from beginning --yes")
    done(f"dead bury {TOPIC} {entry_id} --group bot --reason spam")
    found = f"read --event-id {entry_id}"
    _, newest = sorted(one["id"] for one in answer("dead", "list", TOPIC)["letters"])
    assert f"group bot: given up on; see `abe-redis dead show {newest}`" in done(found)
    assert answer(*found.split())["handled"][0]["again"] is False


async def test_a_group_of_which_nobody_noted_what_was_done_with_it_is_in_doubt(
    make_backend: MakeBackend, redis: Redis
) -> None:
    """An older release made and replayed it. From the next worker on it is noted."""
    entry_id, later = publish(), publish()
    done(f"group create {TOPIC} bot")
    done(f"dead bury {TOPIC} {entry_id} --group bot --reason spam")
    await redis.hdel(names.records(TOPIC), "anew bot")
    doubted = "group bot: given up on, unless a replay has finished it since; see"
    assert doubted in done(f"read --event-id {entry_id}")
    async with aclosing(make_backend().consume(group="bot")) as events:
        assert (await anext(events)).id == later
    done(f"dead bury {TOPIC} {later} --group bot --reason spam")
    assert doubted in done(f"read --event-id {entry_id}")
    assert "group bot: given up on; see" in done(f"read --event-id {later}")


@pytest.mark.parametrize("again", ["reset", "remove"])
def test_a_group_that_begins_anew_may_finish_what_it_gave_up_on(again: str) -> None:
    entry_id = publish()
    done(f"group create {TOPIC} bot")
    done(f"dead bury {TOPIC} {entry_id} --group bot --reason spam")
    if again == "reset":
        done(f"group reset {TOPIC} bot --from beginning --yes")
    else:
        done(f"group remove {TOPIC} bot")
        done(f"group create {TOPIC} bot")
    (leased,) = answer("read", TOPIC, "--group", "bot")["events"]
    done(f"ack {TOPIC} {leased['id']} --group bot")
    assert "unless a replay has finished it since" in done(f"read --event-id {entry_id}")


async def test_a_count_says_what_a_redrive_has_doubled(make_backend: MakeBackend) -> None:
    publish()
    entry_id = publish()
    assert "redriven" not in done(f"count {TOPIC}")
    done(f"group create {TOPIC} bot")
    done(f"dead bury {TOPIC} {entry_id} --group bot --reason spam")
    done(f"dead redrive {TOPIC} --all")
    said = "1 of these was redriven: its event counts twice if the first entry is there, too."
    counted = done(f"count {TOPIC}")
    assert "3 events of slack_events" in counted
    assert said in counted
    assert "redriven" not in done(f"count {TOPIC} --waiting"), "the first entry waits for nobody"
    agent = Operations(make_backend(), origin="mcp")
    result = agent_count(await agent.count_events(by="type", stream=TOPIC))
    assert (result.redriven, said in event_text.counted(result, "data")) == (1, True)


def test_a_group_of_a_stream_that_does_not_exist_is_no_groups_fault() -> None:
    for command in ("count", "read"):
        left = run(command, TOPIC, "--waiting", "--group", "g")
        assert left.returncode == 1
        assert "The stream 'slack_events' does not exist (yet)." in left.stderr, command
    publish()
    assert "has no group 'g'" in run("count", TOPIC, "--waiting", "--group", "g").stderr
