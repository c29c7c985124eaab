"""What needs Slack's live request in a Bolt app: acks, responses, and their limits."""

from collections.abc import Callable
from typing import Any

import pytest
from slack_bolt import BoltResponse
from slack_sdk.errors import SlackApiError

from abe_redis import Backoff, Bury, Event, Retry
from abe_redis.bolt import AnswerTooLateError
from abe_redis.testing import (
    app_mention,
    block_actions,
    slash_command,
    view_submission,
)
from tests.contract.bolt.bots import Bots, handle


async def test_a_command_is_answered_at_its_response_url(bots: Bots) -> None:
    app = bots.app()
    app.command("/deploy")(ack=bots.fit(lambda ack: ack()), lazy=[bots.fit(lambda respond: respond("done"))])
    command = slash_command("/deploy") | {"response_url": bots.slack.response_url()}
    assert (await handle(app, command)).errors == []
    (call,) = bots.slack.calls("response_url")
    assert call.arguments["text"] == "done"


@pytest.mark.parametrize("is_lazy", [False, True])
@pytest.mark.parametrize(
    ("error", "status", "decision"),
    [
        ("expired_url", 404, Bury),
        ("used_url", 404, Bury),
        ("internal_error", 500, Retry),
        ("odd words", 502, Retry),
    ],
)
async def test_a_refused_response_is_the_failure(
    bots: Bots, is_lazy: bool, error: str, status: int, decision: type
) -> None:
    app = bots.app()
    respond = bots.fit(lambda respond: respond("done"))
    if is_lazy:
        app.command("/deploy")(ack=bots.fit(lambda ack: ack()), lazy=[respond])
    else:
        app.command("/deploy")(respond)
    bots.slack.fail("response_url", error, status=status)
    command = slash_command("/deploy") | {"response_url": bots.slack.response_url()}
    failure = (await handle(app, command)).error
    assert isinstance(failure, SlackApiError)
    assert f"respond() was refused with {status} " in str(failure)
    assert command["response_url"] not in str(failure)
    event = Event(command, stream="s", group="g", id="1-0", deliveries=1)
    assert type(Backoff()(event, failure)) is decision


async def test_a_response_that_slack_limits_is_waited_for(bots: Bots) -> None:
    app = bots.app()
    app.command("/deploy")(bots.fit(lambda respond: respond("done")))
    bots.slack.limit("response_url", seconds=7)
    command = slash_command("/deploy") | {"response_url": bots.slack.response_url()}
    failure = (await handle(app, command)).error
    decision = Backoff()(Event(command, stream="s", group="g", id="1-0", deliveries=1), failure)
    assert isinstance(decision, Retry)
    assert not decision.counts
    assert 7 <= decision.delay <= 8


@pytest.mark.parametrize(
    "answer",
    [
        lambda ack: ack("on it"),
        lambda ack: ack({"text": "on it"}),
        lambda ack: ack(options=[]),
        lambda ack: ack(response_action="errors", errors={"b1": "no"}),
        lambda client, body: client.views_open(trigger_id=body["trigger_id"], view={"type": "modal"}),
        lambda client, body: client.views_push(trigger_id=body["trigger_id"], view={"type": "modal"}),
    ],
)
async def test_an_answer_that_comes_too_late_is_an_error(bots: Bots, answer: Callable[..., Any]) -> None:
    app = bots.app()
    app.command("/deploy")(bots.fit(answer))
    app.action("press")(bots.fit(answer))
    app.view("form")(bots.fit(answer))
    payloads = [slash_command("/deploy"), block_actions("press"), view_submission("form")]
    seen = await handle(app, *payloads)
    assert [type(error) for error in seen.errors] == [AnswerTooLateError] * 3
    assert "this is a worker" in str(seen.errors[0])
    if "trigger_id" in str(seen.errors[0]):
        said = str(seen.errors[0])
        assert "`abe-redis listen --http bot:app --inline KEY`" in said
        assert "slash_command:/deploy or block_actions:approve" in said
    for error in seen.errors:
        decision = Backoff()(Event({}, stream="s", group="g", id="1-0", deliveries=1), error)
        assert isinstance(decision, Bury)
        assert decision.reason.endswith(str(error)), "its advice is not cut off"
    assert bots.slack.calls("views.open") == []


@pytest.mark.parametrize("body", ["on it", {"text": "on it"}, {"response_action": "clear"}])
async def test_an_answer_that_is_returned_comes_too_late_as_well(
    bots: Bots, body: str | dict[str, Any]
) -> None:
    app = bots.app()
    for register in (app.command("/deploy"), app.action("press"), app.view("form")):
        register(bots.fit(lambda: BoltResponse(status=200, body=body)))
    payloads = [slash_command("/deploy"), block_actions("press"), view_submission("form")]
    seen = await handle(app, *payloads)
    assert [type(error) for error in seen.errors] == [AnswerTooLateError] * 3
    assert "returned an answer with content" in str(seen.errors[0])


@pytest.mark.parametrize("is_listener_s", [False, True])
async def test_an_answer_of_a_middleware_comes_too_late_as_well(bots: Bots, is_listener_s: bool) -> None:
    app = bots.app()
    refusing = bots.fit(lambda: BoltResponse(status=200, body="You may not deploy."))
    if not is_listener_s:
        app.use(refusing)
    app.command("/deploy", middleware=[refusing] if is_listener_s else [])(bots.fit(lambda: None))
    error = (await handle(app, slash_command("/deploy"))).error
    assert isinstance(error, AnswerTooLateError)
    assert "A middleware answered with content" in str(error)


async def test_an_answer_that_is_returned_without_content_is_in_order(bots: Bots) -> None:
    app = bots.app()
    app.command("/deploy")(bots.fit(lambda: BoltResponse(status=200)))
    app.action("press")(bots.fit(lambda ack: ack()))
    app.view("form")(bots.fit(lambda: BoltResponse(status=403, body="which Slack does not show")))
    payloads = [slash_command("/deploy"), block_actions("press"), view_submission("form")]
    assert (await handle(app, *payloads)).errors == []


async def test_an_ack_without_content_is_in_order(bots: Bots) -> None:
    app = bots.app()
    app.view("form")(bots.fit(lambda ack: ack()))
    app.event("app_mention")(bots.fit(lambda ack: ack("which Slack ignores for an event")))
    app.command("/deploy")(bots.fit(lambda ack: ack({})))
    app.action("press")(bots.fit(lambda: BoltResponse(status=200, body={})))
    payloads = [view_submission("form"), app_mention("hi"), slash_command("/deploy"), block_actions("press")]
    assert (await handle(app, *payloads)).errors == []
