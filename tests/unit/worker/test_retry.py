"""What a failure means by default."""

import pickle
from pathlib import Path
from typing import Any

import pytest

from abe_redis import Backoff, Bury, Event, Retry
from abe_redis.errors import AnswerTooLateError, SettingsError
from abe_redis.worker.slack_errors import PERMANENT, SLACK_ERRORS, meanings


def failed(deliveries: int) -> Event:
    return Event({}, stream="s", group="g", id="1-0", deliveries=deliveries)


def delays(backoff: Backoff, deliveries: int) -> list[float]:
    decisions = [backoff(failed(deliveries), ValueError()) for _ in range(300)]
    return [decision.delay for decision in decisions if isinstance(decision, Retry)]


@pytest.mark.promise("delivers the event again, after a delay that doubles each time.")
@pytest.mark.parametrize(("deliveries", "most"), [(1, 1), (2, 2), (4, 8)])
def test_by_default_a_delay_doubles_and_is_spread(deliveries: int, most: float) -> None:
    found = delays(Backoff(), deliveries)
    assert len(found) == 300
    assert most / 2 <= min(found) < 0.6 * most
    assert 0.9 * most < max(found) <= most


def test_the_last_delivery_of_its_own_buries() -> None:
    for deliveries in (5, 6):
        decision = Backoff(deliveries=5)(failed(deliveries), ValueError("x"))
        assert decision == Bury(f"handler failed {deliveries} times, last with ValueError: x")
    assert delays(Backoff(deliveries=4), 4) == []
    assert len(delays(Backoff(), 1000)) == 300, "without a number of its own, the worker gives up"
    assert Retry().delay == 0


@pytest.mark.parametrize("deliveries", [12, 100, 200, 5000])
def test_no_delay_is_longer_than_its_bound(deliveries: int) -> None:
    found = delays(Backoff(deliveries=10_000), deliveries)
    assert min(found) >= 150
    assert 270 < max(found) <= 300


class SlackApiError(Exception):
    """As slack_sdk's, which need not be installed: known by its name and by its response."""

    def __init__(self, response: object) -> None:
        super().__init__("The request to the Slack API failed.")
        self.response = response


class Response(dict[str, Any]):
    """As slack_sdk's: the body, with the status and the headers of the answer."""

    def __init__(self, error: str, *, status: int = 200, headers: dict[str, Any] | None = None) -> None:
        super().__init__(ok=False, error=error)
        self.status_code = status
        self.headers = headers or {}


def limited(seconds: object) -> SlackApiError:
    return SlackApiError(Response("ratelimited", status=429, headers={"retry-after": seconds}))


def test_slack_waits_no_longer_than_an_event_can() -> None:
    decision = Backoff()(failed(1), limited("999999999"))
    assert decision == Retry(7 * 86_400, counts=False)


def raised_from(cause: Exception) -> Exception:
    error = RuntimeError("while I answered")
    error.__cause__ = cause
    return error


@pytest.mark.promise("When Slack limits a rate (429), the event waits as long as `Retry-After` says")
@pytest.mark.parametrize("deliveries", [1, 5, 500])
def test_what_slack_limits_waits_as_long_as_slack_says_and_does_not_count(deliveries: int) -> None:
    for given, seconds in (("7", 7), (["7"], 7), ("soon", 30), ("-1", 30), ("inf", 30), (None, 30)):
        decision = Backoff()(failed(deliveries), limited(given))
        assert isinstance(decision, Retry)
        assert decision.counts is False
        assert seconds <= decision.delay <= seconds + 1, given
        assert "does not count" in str(decision)
    without = SlackApiError(Response("ratelimited"))
    decision = Backoff()(failed(deliveries), without)
    assert isinstance(decision, Retry)
    assert decision.delay >= 30


@pytest.mark.promise("Slack errors that a retry cannot fix, such as `is_archived`, bury the event at once")
@pytest.mark.parametrize(
    "code", ["channel_not_found", "is_archived", "missing_scope", "token_revoked", "account_inactive"]
)
def test_what_no_retry_cures_is_buried_at_once(code: str) -> None:
    for error in (
        SlackApiError(Response(code)),
        SlackApiError({"ok": False, "error": code}),
        raised_from(SlackApiError(Response(code))),
        ExceptionGroup("some", [ValueError(), limited("5"), SlackApiError(Response(code))]),
    ):
        decision = Backoff()(failed(1), error)
        assert isinstance(decision, Bury), error
        assert decision.reason.startswith(f"Slack answered {code}, which a retry cannot fix: ")


def test_other_errors_of_slack_are_retried_as_any_failure() -> None:
    circle = ValueError()
    circle.__cause__ = circle
    for error in (
        SlackApiError(Response("internal_error")),
        SlackApiError(Response("fatal_error", status=503)),
        SlackApiError(b"<html>"),
        SlackApiError(None),
        SlackApiError({"error": 5}),
        circle,
    ):
        decision = Backoff()(failed(1), error)
        assert isinstance(decision, Retry), error
        assert decision.counts


def test_an_answer_that_is_too_late_is_buried_at_once() -> None:
    assert Backoff()(failed(1), AnswerTooLateError("late")) == Bury("AnswerTooLateError: late")


def test_the_meaning_of_an_error_can_be_changed() -> None:
    changed = Backoff(slack_errors=SLACK_ERRORS | {"not_in_channel": "retry", "fatal_error": "bury"})
    assert isinstance(changed(failed(1), SlackApiError(Response("not_in_channel"))), Retry)
    assert isinstance(changed(failed(1), SlackApiError(Response("fatal_error"))), Bury)
    assert isinstance(changed(failed(1), SlackApiError(Response("is_archived"))), Bury)
    assert hash(changed) == hash(Backoff())


def test_the_command_line_changes_meanings() -> None:
    changed = meanings(["not_in_channel=retry", "fatal_error=bury", "fatal_error=wait"])
    assert changed == SLACK_ERRORS | {"not_in_channel": "retry", "fatal_error": "wait"}
    for bad in ("not_in_channel", "=retry", "not_in_channel=drop", ""):
        with pytest.raises(SettingsError, match=f"--slack-error is {bad!r}; write CODE=MEANING"):
            meanings([bad])


def test_the_page_has_every_error_that_no_retry_cures() -> None:
    page = (Path(__file__).parents[3] / "docs/bolt.md").read_text(encoding="utf-8")
    rows = {f"| {about} | {', '.join(f'`{code}`' for code in codes)} |" for about, codes in PERMANENT.items()}
    assert rows == {
        line for line in page.splitlines() if line.removeprefix("| ").startswith(tuple(PERMANENT))
    }


def test_a_backoff_can_be_pickled() -> None:
    """As for a process that `multiprocessing` spawns."""
    policy = Backoff(first=2, most=8, deliveries=3, slack_errors=SLACK_ERRORS | {"not_in_channel": "retry"})
    assert pickle.loads(pickle.dumps(policy)) == policy  # noqa: S301 - our own
    assert pickle.loads(pickle.dumps(Backoff())) == Backoff()  # noqa: S301 - our own
