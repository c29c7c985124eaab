"""What fails in a Bolt app and is the event's failure."""

from typing import Any

import pytest
from slack_bolt import BoltResponse
from slack_sdk.errors import SlackApiError

from abe_redis import Retry
from abe_redis.bolt import FailedAnswerError, NotAuthorizedError
from abe_redis.testing import (
    FakeSlack,
    app_mention,
)
from tests.contract.bolt.bots import Bots, handle
from tests.contract.bolt.failing import Store, is_here, raise_

REFUSED = SlackApiError("refused", {"error": "fatal_error"})  # type: ignore[no-untyped-call]


async def test_a_listener_s_exception_is_the_failure(bots: Bots) -> None:
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("no such order"))))
    seen = await handle(app, app_mention("hi"))
    assert (type(seen.error), str(seen.error)) == (LookupError, "no such order")
    assert is_here(seen.error)


async def test_a_lazy_listener_s_exception_is_the_failure_and_the_others_run(bots: Bots) -> None:
    app, ran = bots.app(), list[str]()
    app.event("app_mention")(
        ack=bots.fit(lambda: None),
        lazy=[
            bots.fit(lambda: raise_(LookupError("lazy"))),
            bots.fit(lambda: ran.append("second")),
            bots.fit(lambda: raise_(LookupError("also lazy"))),
        ],
    )
    seen = await handle(app, app_mention("hi"))
    assert (type(seen.error), str(seen.error)) == (LookupError, "lazy")
    assert is_here(seen.error)
    assert ran == ["second"]


async def test_lazy_listeners_do_not_run_when_the_first_has_failed(bots: Bots) -> None:
    app, ran = bots.app(), list[str]()
    failing = bots.fit(lambda: raise_(LookupError("first")))
    app.event("app_mention")(ack=failing, lazy=[bots.fit(lambda: ran.append("lazy"))])
    seen = await handle(app, app_mention("hi"))
    assert (str(seen.error), ran) == ("first", [])


async def test_a_middleware_s_exception_is_the_failure(bots: Bots) -> None:
    app = bots.app()
    app.use(bots.fit(lambda: raise_(LookupError("middleware"))))
    app.event("app_mention")(bots.fit(lambda: None))
    assert str((await handle(app, app_mention("hi"))).error) == "middleware"


async def test_a_listener_middleware_s_and_a_matcher_s_exception_is_the_failure(bots: Bots) -> None:
    failing = bots.fit(lambda: raise_(LookupError("of the listener")))
    for options in ({"middleware": [failing]}, {"matchers": [failing]}):
        app = bots.app()
        app.event("app_mention", **options)(bots.fit(lambda: None))
        assert str((await handle(app, app_mention("hi"))).error) == "of the listener"


async def test_slack_s_refusal_of_a_message_is_the_failure(bots: Bots) -> None:
    bots.slack.fail("chat.postMessage", "is_archived")
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda say: say("hi")))
    seen = await handle(app, app_mention("hi"))
    assert isinstance(seen.error, SlackApiError)
    assert seen.error.response["error"] == "is_archived"


async def test_an_app_that_is_installed_nowhere_fails(bots: Bots) -> None:
    app = bots.app(authorize=bots.fit(lambda: None))
    app.event("app_mention")(bots.fit(lambda: None))
    seen = await handle(app, app_mention("hi"))
    assert isinstance(seen.error, NotAuthorizedError)
    assert "no installation for the workspace 'T061EG9R6'" in str(seen.error)


@pytest.mark.parametrize("error", [LookupError("database"), REFUSED])
async def test_an_error_of_authorize_is_the_failure(bots: Bots, error: Exception) -> None:
    app = bots.app(authorize=bots.fit(lambda: raise_(error)))
    app.event("app_mention")(bots.fit(lambda: None))
    assert (await handle(app, app_mention("hi"))).error is error


async def test_an_error_of_an_installation_store_is_the_failure(bots: Bots) -> None:
    error = LookupError("database")
    app = bots.app(installation_store=Store(error), installation_store_bot_only=True)
    app.event("app_mention")(bots.fit(lambda: None))
    assert (await handle(app, app_mention("hi"))).error is error


async def test_a_refused_auth_test_is_the_failure(bots: Bots) -> None:
    bots.slack.limit("auth.test", seconds=7)
    app = bots.app(installation_store=Store(), installation_store_bot_only=True)
    app.event("app_mention")(bots.fit(lambda: None))
    seen = await handle(app, app_mention("hi"))
    assert isinstance(seen.error, SlackApiError)
    assert (seen.error.response.status_code, seen.error.response["error"]) == (429, "ratelimited")


async def test_a_refused_auth_test_of_a_single_token_is_the_failure(slack: FakeSlack) -> None:
    """A sync app asks when it is made."""
    slack.fail("auth.test", "token_revoked")
    app = Bots(is_async=True, slack=slack).app()
    app.event("app_mention")(Bots(is_async=True, slack=slack).fit(lambda: None))
    seen = await handle(app, app_mention("hi"))
    assert isinstance(seen.error, SlackApiError)
    assert seen.error.response["error"] == "token_revoked"


@pytest.mark.parametrize("status", [500, 503])
async def test_an_answer_that_asks_slack_to_send_again_is_a_failure(bots: Bots, status: int) -> None:
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: BoltResponse(status=status, body="")))
    seen = await handle(app, app_mention("hi"))
    assert isinstance(seen.error, FailedAnswerError)
    assert str(status) in str(seen.error)


async def test_a_failed_event_is_dispatched_again(bots: Bots) -> None:
    app, deliveries = bots.app(), list[int]()

    def listener(context: Any) -> None:
        deliveries.append(context["abe_redis_event"].deliveries)
        if len(deliveries) < 3:
            raise LookupError("not yet")

    app.event("app_mention")(bots.fit(listener))
    seen = await handle(app, app_mention("hi"), policy=lambda _, __: Retry())
    assert deliveries == [1, 2, 3]
    assert seen.worker is not None
    assert (seen.worker.handled, seen.worker.failed) == (1, 2)
