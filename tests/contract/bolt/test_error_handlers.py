"""What a Bolt app's `@app.error` handler does to the event."""

from slack_bolt import BoltResponse

from abe_redis.testing import (
    app_mention,
    message,
)
from tests.contract.bolt.bots import Bots, handle
from tests.contract.bolt.failing import raise_

# What an `@app.error` handler does


async def test_an_event_that_an_error_handler_answers_is_done(bots: Bots) -> None:
    app, told = bots.app(), list[Exception]()

    def note(error: Exception) -> None:
        told.append(error)

    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("listener"))))
    failing = bots.fit(lambda: raise_(LookupError("middle")))
    app.event("message", middleware=[failing])(bots.fit(lambda: None))
    app.error(bots.fit(note))
    seen = await handle(app, app_mention("hi"), message("hi"))
    assert seen.errors == []
    assert sorted(map(str, told)) == ["listener", "middle"]


async def test_an_error_handler_may_answer_slack_200(bots: Bots) -> None:
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("listener"))))
    app.error(bots.fit(lambda: BoltResponse(status=200, body="")))
    assert (await handle(app, app_mention("hi"))).errors == []


async def test_an_error_of_an_error_handler_is_the_failure(bots: Bots) -> None:
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("listener"))))
    app.error(bots.fit(raise_))
    assert str((await handle(app, app_mention("hi"))).error) == "listener"
    app.error(bots.fit(lambda: raise_(RuntimeError("of the handler"))))
    assert str((await handle(app, app_mention("hi"))).error) == "of the handler"


async def test_an_error_handler_that_asks_slack_to_send_again_passes_the_failure_on(bots: Bots) -> None:
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("listener"))))
    app.error(bots.fit(lambda: BoltResponse(status=503, body="")))
    assert str((await handle(app, app_mention("hi"))).error) == "listener"

    def set_status(response: BoltResponse) -> None:
        response.status = 500

    app.error(bots.fit(set_status))
    assert str((await handle(app, app_mention("hi"))).error) == "listener"
