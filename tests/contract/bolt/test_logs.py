"""What Bolt itself logs while a worker dispatches: nothing that people wrote."""

import logging
from collections.abc import Callable
from typing import Any

import pytest

from abe_redis.testing import app_mention, block_actions, message, slash_command, view_submission
from tests.contract.bolt.bots import Bots, handle

WORDS = "xyzzy-what-somebody-wrote"
SELF = "U0LAN0Z89"

PAYLOADS: dict[str, dict[str, Any]] = {
    "message": message(WORDS),
    "app_mention": app_mention(WORDS),
    "slash_command": slash_command("/deploy", WORDS),
    "block_actions": block_actions("press", value=WORDS),
    "view_submission": view_submission("form", {"why": WORDS}),
    "interactive_message": {
        "type": "interactive_message",
        "callback_id": "old",
        "actions": [{"name": WORDS, "value": WORDS, "type": "button"}],
        "team": {"id": "T061EG9R6"},
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
    },
    "dialog_submission": {
        "type": "dialog_submission",
        "callback_id": "old",
        "submission": {"name": WORDS},
        "team": {"id": "T061EG9R6"},
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
    },
    "dialog_suggestion": {
        "type": "dialog_suggestion",
        "callback_id": "old",
        "value": WORDS,
        "team": {"id": "T061EG9R6"},
        "user": {"id": "U1"},
        "channel": {"id": "C1"},
    },
    "of an unknown kind": {"type": "zz", "words": WORDS, "team": {"id": "T061EG9R6"}},
}
PAYLOADS["message of the bot itself"] = message(WORDS)


@pytest.fixture(params=[logging.INFO, logging.DEBUG], ids=logging.getLevelName)
def log(request: pytest.FixtureRequest, caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """All of the log, at a level that an app's logger takes from the root when it is made."""
    caplog.set_level(request.param)
    caplog.set_level(logging.INFO, "asyncio")
    return caplog


def listening(bots: Bots, app: Any) -> None:
    """Post what was said, and return an answer with it."""

    def listener(event: dict[str, Any], say: Any) -> Any:
        return say(event.get("text", WORDS))

    app.event("message")(bots.fit(listener))
    app.event("app_mention")(bots.fit(lambda: None))


def nothing(bots: Bots, app: Any) -> None:
    """No listener is for anything."""


def skipping_middleware(bots: Bots, app: Any) -> None:
    app.use(bots.fit(lambda: None))


def skipping_listener_middleware(bots: Bots, app: Any) -> None:
    for kind in ("message", "app_mention"):
        app.event(kind, middleware=[bots.fit(lambda: None)])(bots.fit(lambda: None))


def failing_middleware(bots: Bots, app: Any) -> None:
    def fail() -> None:
        raise LookupError("of the middleware")

    app.use(bots.fit(fail))


@pytest.mark.parametrize(
    "equip",
    [listening, nothing, skipping_middleware, skipping_listener_middleware, failing_middleware],
)
async def test_bolt_logs_nothing_that_people_wrote(
    bots: Bots, log: pytest.LogCaptureFixture, equip: Callable[[Bots, Any], None]
) -> None:
    bots.slack.answer("auth.test", {"ok": True, "user_id": SELF, "bot_id": "B1", "team_id": "T061EG9R6"})
    PAYLOADS["message of the bot itself"]["event"]["user"] = SELF
    app = bots.app()
    equip(bots, app)
    await handle(app, *PAYLOADS.values())
    assert WORDS not in log.text


async def test_the_log_says_what_a_listener_would_be_and_which_middleware_ended_an_event(
    bots: Bots, log: pytest.LogCaptureFixture
) -> None:
    app = bots.app()
    await handle(app, app_mention(WORDS), slash_command("/deploy", WORDS))
    assert 'no listener is for it. @app.event("app_mention") would be one.' in log.text
    assert '@app.command("/deploy")' in log.text
    log.clear()
    await handle(app, {"type": "app_rate_limited", "team_id": "T1", "minute_rate_limited": 1518467820})
    assert "Unhandled request: no listener is for it." in log.text
    app.use(bots.fit(lambda: None))
    await handle(app, app_mention(WORDS))
    assert "A global middleware (" in log.text
    assert "skipped calling either `next()` or `next_()` without providing a response" in log.text


async def test_the_log_names_a_listener_that_ran_and_called_no_ack(
    bots: Bots, log: pytest.LogCaptureFixture
) -> None:
    app = bots.app()

    def of_the_form() -> None:
        pass

    app.view("form")(bots.fit(of_the_form))
    assert (await handle(app, view_submission("form"))).errors == []
    assert "Unhandled request: " in log.text
    assert "of_the_form ran for it, and called no ack()." in log.text
    assert "no listener is for it" not in log.text
    await handle(app, view_submission("another"))
    assert "no listener is for it" in log.text


async def test_a_listener_s_own_logger_is_the_user_s(bots: Bots, log: pytest.LogCaptureFixture) -> None:
    app = bots.app()

    def listener(logger: logging.Logger, body: dict[str, Any]) -> None:
        logger.warning("%s", body)

    app.event("app_mention")(bots.fit(listener))
    await handle(app, app_mention(WORDS))
    assert WORDS in log.text
