"""What is no failure in a Bolt app: no listener, a middleware that ends the event, fields of the host."""

from typing import Any

import pytest
from slack_bolt import BoltResponse
from slack_bolt.error import BoltUnhandledRequestError

from abe_redis.testing import (
    app_mention,
    block_actions,
    envelope,
    message,
)
from tests.contract.bolt.bots import Bots, handle
from tests.contract.bolt.failing import raise_


@pytest.mark.parametrize("raises", [False, True])
async def test_an_event_without_a_listener_is_done(bots: Bots, raises: bool) -> None:
    app = bots.app(raise_error_for_unhandled_request=raises)
    seen = await handle(app, app_mention("hi"))
    assert seen.errors == []
    assert seen.worker is not None
    assert seen.worker.handled == 1


async def test_a_listener_that_raises_what_bolt_raises_has_failed(bots: Bots) -> None:
    app = bots.app(raise_error_for_unhandled_request=True)
    error = BoltUnhandledRequestError(request=None, current_response=None)
    app.event("app_mention")(bots.fit(lambda: raise_(error)))
    assert (await handle(app, app_mention("hi"))).error is error


async def test_an_event_that_a_middleware_ends_is_done(bots: Bots) -> None:
    for options in ({}, {"before_authorize": bots.fit(lambda: BoltResponse(status=200, body=""))}):
        app = bots.app(**options)
        app.use(bots.fit(lambda: None))
        assert (await handle(app, app_mention("hi"))).errors == []


async def test_an_envelope_that_the_host_padded_matches_as_slack_sent_it(bots: Bots) -> None:
    app, said = bots.app(), list[dict[str, Any]]()

    def note(event: dict[str, Any]) -> None:
        said.append(event)

    app.message("hello")(bots.fit(note))
    padded = message("hello")
    padded["event"] |= {"thread_ts": None, "item": None}
    textless = envelope({"type": "message", "text": None, "channel": "C1", "user": "U1", "ts": "1.2"})
    assert (await handle(app, padded, textless)).errors == []
    (event,) = said
    assert not event.keys() & {"thread_ts", "item"}


async def test_an_event_that_was_published_without_an_envelope_has_its_listener(bots: Bots) -> None:
    app, said = bots.app(), list[tuple[str, str | None]]()
    app.event("app_mention")(bots.fit(lambda event, context: said.append((event["ts"], context.team_id))))
    app.message("hi")(bots.fit(lambda event: said.append((event["ts"], None))))
    bare = {"channel": "C1", "user": "U1", "text": "hi", "ts": "1.1"}
    without_team = {"type": "event_callback", "event": {"type": "app_mention"} | bare}
    seen = await handle(
        app, {"type": "app_mention", "team": "T1"} | bare, {"type": "message"} | bare, without_team
    )
    assert seen.errors == []
    assert said == [("1.1", "T1"), ("1.1", None), ("1.1", None)]


async def test_an_event_with_a_stray_field_of_slack_s_checks_has_its_listener(bots: Bots) -> None:
    app, said = bots.app(), list[str]()
    app.event("app_mention")(bots.fit(lambda event: said.append(event["text"])))
    app.action("press")(bots.fit(lambda: said.append("pressed")))
    strays = [app_mention("hi") | {"ssl_check": "1"}, block_actions("press") | {"ssl_check": "1"}]
    assert (await handle(app, *strays)).errors == []
    assert len(said) == 2
