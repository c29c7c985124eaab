"""Answers of a user that are forged, used again, or used for another call."""

from typing import Any

import pytest
import redis

from tests.attacks.conftest import OpenDoor
from tests.attacks.tally import Tally
from tests.attacks.wire import Agent

STREAM = "slack_events"
WHAT = {"stream": STREAM, "group": "agents", "bury": True, "reason": "spam"}
CAN_ASK: dict[str, Any] = {"elicitation": {"form": {}}}


@pytest.fixture
def client(redis_url: str) -> redis.Redis:
    return redis.Redis.from_url(redis_url, decode_responses=True)


def asked(agent: Agent, arguments: dict[str, Any], **more: Any) -> tuple[str, str]:
    """The question to which a call leads, and the token for its answer."""
    result = agent.ask("release", arguments, **more)
    (request,) = result["inputRequests"].values()
    return str(request["params"]["message"]), str(result["requestState"])


def answer(agreed: Any = True, action: str = "accept") -> dict[str, Any]:
    content = {} if agreed is None else {"content": {"agreed": agreed}}
    return {"agreement": {"action": action, **content}}


@pytest.mark.promise("The question names how many events, of which groups")
@pytest.mark.promise("`confirm` is `true` and nothing else.")
def test_an_agreement_counts_once_and_for_one_call(door: OpenDoor, client: redis.Redis) -> None:
    tally = Tally("using an agreement again")
    for number in range(6):
        client.xadd(STREAM, {"data": f'{{"type": "message", "n": {number}}}'})
    served = door("2.3", "--changes-per-minute", "100000")
    agent, other = (served.agent(name, modern=True, capabilities=CAN_ASK) for name in ("one", "two"))
    ids = agent.lease(STREAM, "agents", 6)
    first = {**WHAT, "ids": ids[:1]}
    words, token = asked(agent, first)
    assert words.startswith("Give up on events, 1 of slack_events: 1 for agents?")
    assert words.endswith(f"Which: {ids[0]} (message).")

    def buried() -> int:
        return int(client.xlen("dead:{slack_events}"))

    for given in ("yes", "true", 1, "1", [True], {"agreed": True}, None):
        _, fresh = asked(agent, first)
        agent.ask("release", first, requestState=fresh, inputResponses=answer(given))
        tally.tried(f"agreed={given!r}", escaped=buried() != 0)
    for action in ("decline", "cancel"):
        _, fresh = asked(agent, first)
        agent.ask("release", first, requestState=fresh, inputResponses=answer(action=action))
        tally.tried(action, escaped=buried() != 0)
        agent.ask("release", first, requestState=fresh, inputResponses=answer())
        tally.tried(f"accept after {action}", escaped=buried() != 0)
    for state in ("", "x", token[:-1], token.upper(), None):
        more = {} if state is None else {"requestState": state}
        agent.ask("release", first, inputResponses=answer(), **more)
        tally.tried(f"the token {state!r}", escaped=buried() != 0)
    for arguments in (
        {**WHAT, "ids": ids[1:2]},
        {**WHAT, "ids": ids},
        {**first, "reason": "other"},
        {**first, "confirm": True},
    ):
        _, fresh = asked(agent, first)
        agent.ask("release", arguments, requestState=fresh, inputResponses=answer())
        tally.tried(f"for {arguments}", escaped=buried() != 0)
    other.ask("release", first, requestState=token, inputResponses=answer())
    tally.tried("of another client", escaped=buried() != 0)
    _, token = asked(agent, first)
    result = agent.ask("release", first, requestState=token, inputResponses=answer())
    assert result["structuredContent"]["buried"] == ids[:1]
    client.xadd(STREAM, {"data": "{}"})
    for arguments in (first, {**WHAT, "ids": ids[1:2]}):
        agent.ask("release", arguments, requestState=token, inputResponses=answer())
        tally.tried("the same token again", escaped=buried() != 1)
    tally.check(least=20)


@pytest.mark.promise("The user is not asked about a call that would change nothing or is refused.")
def test_nobody_is_asked_about_what_cannot_happen(door: OpenDoor, client: redis.Redis) -> None:
    client.xadd(STREAM, {"data": "{}"})
    agent = door("2.3").agent(modern=True, capabilities=CAN_ASK)
    (held,) = agent.lease(STREAM, "agents")
    for tool, arguments in (
        ("release", {**WHAT, "ids": ["1-1", "2-2"]}),
        ("release", {**WHAT, "ids": [held], "group": "other"}),
        ("release", {**WHAT, "ids": [held], "stream": "slack:none"}),
        ("release", {**WHAT, "ids": [held], "reason": None}),
        ("release", {"stream": STREAM, "group": "agents", "ids": [held], "delay_seconds": 999_999}),
        ("ack", {"stream": STREAM, "group": "agents", "ids": ["1-1"]}),
        ("redrive", {"dry_run": False}),
        ("redrive", {"all": True, "dry_run": False}),
        ("redrive", {"all": True, "dry_run": False, "reason": "x"}),
        ("redrive", {"dry_run": False, "reason": "no such"}),
    ):
        assert "inputRequests" not in agent.ask(tool, arguments), (tool, arguments)
    assert client.xpending(STREAM, "agents")["pending"] == 1


@pytest.mark.promise("The question names how many events, of which groups")
def test_a_question_names_how_many_of_which_groups(door: OpenDoor, client: redis.Redis) -> None:
    client.xadd(STREAM, {"data": "{}"})
    letter: Any = {"data": "{}", "abe:reason": "x"}
    ids = list[Any]()
    for number in range(15):
        group = {"abe:group": "bot" if number < 12 else "audit", "abe:id": f"1-{number}"}
        ids.append(client.xadd("dead:{slack_events}", letter | group))
    agent = door("2.3", "--groups", "*").agent(modern=True, capabilities=CAN_ASK)
    result = agent.ask("redrive", {"all": True, "dry_run": False})
    (request,) = result["inputRequests"].values()
    words = request["params"]["message"]
    assert "15 of slack_events: 12 for bot, 3 for audit?" in words
    assert f"{ids[0]}, " in words
    # What was buried since then was not asked about.
    client.xadd("dead:{slack_events}", letter | {"abe:group": "bot"})
    done = agent.ask(
        "redrive",
        {"all": True, "dry_run": False},
        requestState=result["requestState"],
        inputResponses=answer(),
    )
    assert done["structuredContent"]["redriven"] == 15
    assert client.xlen("dead:{slack_events}") == 1
