"""At the end of stdin, the server waits for answers that come by themselves, and not for others."""

import json
import threading
from typing import Any

import pytest

from abe_redis.mcp.compat import unanswered
from abe_redis.mcp.compat.unanswered import Unanswered


@pytest.fixture
def requests() -> Unanswered:
    return Unanswered()


def line(**message: Any) -> str:
    return json.dumps({"jsonrpc": "2.0"} | message)


def call(number: int, **arguments: Any) -> str:
    return line(id=number, method="tools/call", params={"name": "read_stream", "arguments": arguments})


def test_the_end_waits_until_all_is_answered(requests: Unanswered) -> None:
    requests.received(call(1))
    requests.received(call(2))
    requests.sent(line(id=1, result={}))
    other = threading.Timer(0.05, requests.sent, [line(id=2, result={})])
    other.start()
    assert requests.wait()
    other.join()


def test_a_cancelled_request_is_not_waited_for(requests: Unanswered) -> None:
    requests.received(call(1))
    requests.received(line(method="notifications/cancelled", params={"requestId": 1}))
    assert requests.wait()


@pytest.mark.parametrize("how", ["events", "listen", "person"])
def test_what_may_never_be_answered_does_not_hold_the_end_for_long(
    requests: Unanswered, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(unanswered, "_SECONDS", 3600)  # then the test would not end
    monkeypatch.setattr(unanswered, "_WAITING_SECONDS", 0.01)
    if how == "events":
        requests.received(call(1, wait_seconds=60))
    elif how == "listen":
        requests.received(line(id=1, method="subscriptions/listen", params={}))
    else:
        requests.received(call(1))
        requests.sent(line(id=7, method="elicitation/create", params={}))
    assert not requests.wait()


def test_a_question_that_was_answered_does_not_shorten_the_wait(
    requests: Unanswered, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unanswered, "_WAITING_SECONDS", 0)
    requests.received(call(1))
    requests.sent(line(id=7, method="elicitation/create", params={}))
    requests.received(line(id=7, result={"action": "accept"}))
    other = threading.Timer(0.05, requests.sent, [line(id=1, result={})])
    other.start()
    assert requests.wait()
    other.join()
