"""A Bolt app answers at once what cannot be queued; everything else is queued."""

import json
import logging
import math
from typing import Any

import anyio
import pytest
from redis.asyncio import Redis
from slack_bolt import App, BoltResponse
from slack_bolt.async_app import AsyncApp
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

from abe_redis import RedisMessageQueueBackend
from abe_redis.errors import SettingsError
from abe_redis.events.arrival import Arrival
from abe_redis.slack import inline
from abe_redis.slack.inline import BoltAnswers
from abe_redis.slack.queues import Queues
from abe_redis.slack.receiver import Receiver
from abe_redis.slack.shapes import Sent
from abe_redis.testing import block_actions, message, slash_command, view_submission
from abe_redis.testing.fake_slack.fake import FakeSlack
from abe_redis.testing.signing import signed, signed_form
from tests.contract.bolt.bots import Bots
from tests.integration.slack.doors import SECRET, door, post
from tests.integration.slack.test_socket import receiving
from tests.patience import PATIENCE
from tests.unit.events.shapes import action

OPTIONS = {"options": [{"text": {"type": "plain_text", "text": "Web"}, "value": "web"}]}
ERRORS = {"response_action": "errors", "errors": {"why": "too short"}}
SUGGESTION = action("block_suggestion", action_id="where", block_id="b", value="w", view={"id": "V0"})


def sync_app(slack: FakeSlack) -> App:
    app = App(client=WebClient("xoxb-1", base_url=slack.api_url), signing_secret="not the door's")

    @app.view("form")
    def form(ack: Any) -> None:
        ack(**ERRORS)

    @app.options("where")
    def options(ack: Any) -> None:
        ack(**OPTIONS)

    @app.shortcut("ticket")
    def shortcut(ack: Any) -> None:
        ack()

    @app.view("broken")
    def broken(ack: Any) -> None:
        raise ValueError("xyzzy")

    return app


def async_app(slack: FakeSlack) -> AsyncApp:
    app = AsyncApp(client=AsyncWebClient("xoxb-1", base_url=slack.api_url), signing_secret="not the door's")

    @app.view("form")
    async def form(ack: Any) -> None:
        await ack(**ERRORS)

    @app.options("where")
    async def options(ack: Any) -> None:
        await ack(**OPTIONS)

    @app.shortcut("ticket")
    async def shortcut(ack: Any) -> None:
        await ack()

    @app.view("broken")
    async def broken(ack: Any) -> None:
        raise ValueError("xyzzy")

    return app


MADE = pytest.mark.parametrize("make", [sync_app, async_app])


@MADE
async def test_requests_that_need_an_answer_get_it_and_the_rest_is_queued(
    backend: RedisMessageQueueBackend, redis: Redis, make: Any
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        here = door(backend, BoltAnswers(make(slack), ["shortcut:ticket"]))
        reply = await post(here, *signed_form(view_submission("form", {"why": "so"}), SECRET))
        assert (reply.status, json.loads(reply.body)) == (200, ERRORS)
        assert reply.headers["content-type"].startswith("application/json")
        reply = await post(here, *signed_form(SUGGESTION, SECRET))
        assert (reply.status, json.loads(reply.body)) == (200, OPTIONS)
        reply = await post(here, *signed_form(action("shortcut", callback_id="ticket"), SECRET))
        assert (reply.status, reply.body) == (200, "")
        assert await redis.dbsize() == 0
        queued = {
            "slack_events": signed(message("hi"), SECRET),
            "slack:actions": signed_form(block_actions("go"), SECRET),
            "slack:commands": signed_form(slash_command("/go"), SECRET),
            "slack:shortcuts": signed_form(action("shortcut", callback_id="other"), SECRET),
            "slack:views": signed_form(action("view_closed", view={"callback_id": "form"}), SECRET),
        }
        for request in queued.values():
            assert (await post(here, *request)).status == 200
        for stream in queued:
            assert await redis.xlen(stream) == 1


@MADE
async def test_a_request_that_the_app_cannot_answer_is_answered_as_the_app_does(
    backend: RedisMessageQueueBackend, redis: Redis, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        here = door(backend, BoltAnswers(make(slack)))
        assert (await post(here, *signed_form(view_submission("unknown"), SECRET))).status == 404
        assert (await post(here, *signed_form(view_submission("broken"), SECRET))).status == 500
    assert "The Bolt app answered 404 to a view_submission." in caplog.text
    assert await redis.dbsize() == 0


@MADE
@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), BaseExceptionGroup("several", [SystemExit(3)])]
)
async def test_a_listener_that_exits_fails_alone(
    backend: RedisMessageQueueBackend, make: Any, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        app: Any = make(slack)

        def leave() -> None:
            raise error

        def acknowledge(ack: Any) -> Any:
            return ack()

        app.view("exits")(bots_of(make).fit(leave))
        app.view("exits later")(ack=bots_of(make).fit(acknowledge), lazy=[bots_of(make).fit(leave)])
        app.view("middle", middleware=[bots_of(make).fit(leave)])(bots_of(make).fit(acknowledge))
        here = door(backend, BoltAnswers(app))
        assert (await post(here, *signed_form(view_submission("exits"), SECRET))).status == 500
        assert (await post(here, *signed_form(view_submission("middle"), SECRET))).status == 503
        assert (await post(here, *signed_form(view_submission("exits later"), SECRET))).status == 200
        with anyio.fail_after(PATIENCE):
            while "Failed to run an internal function" not in caplog.text:
                await anyio.sleep(0.01)
        assert (await post(here, *signed_form(view_submission("form"), SECRET))).status == 200


async def test_at_the_end_listeners_that_have_answered_may_finish(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        app, may_end, ended = async_app(slack), anyio.Event(), list[str]()

        async def work(ack: Any) -> None:
            await ack()
            await may_end.wait()
            ended.append("listener")

        async def acknowledge(ack: Any) -> None:
            await ack()

        async def lazy() -> None:
            await may_end.wait()
            ended.append("lazy")

        app.view("works")(work)
        app.view("lazy")(ack=acknowledge, lazy=[lazy])
        receiver = Receiver(backend, Queues.chosen(backend.settings), BoltAnswers(app))
        await receiver.finish()
        for name in ("works", "lazy"):
            sent = Sent(view_submission(name), "interactive")
            answer = await receiver.take(sent, Arrival(path="http"), until=math.inf)
            assert answer.status == 200
        monkeypatch.setattr(inline, "FINISH_SECONDS", 0.01)
        await receiver.finish()
        assert "Listeners of the Bolt app (2) did not end within 0.01 s: " in caplog.text
        assert ended == []
        monkeypatch.setattr(inline, "FINISH_SECONDS", PATIENCE)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(receiver.finish)
            may_end.set()
        assert sorted(ended) == ["lazy", "listener"]


@MADE
async def test_an_app_that_answers_here_logs_nothing_that_people_wrote(
    backend: RedisMessageQueueBackend, make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    words = "xyzzy-what-somebody-wrote"
    asked = action("dialog_submission", callback_id="none", submission={"name": words})
    pressed = action("interactive_message", callback_id="none", actions=[{"name": words, "value": words}])
    async with FakeSlack(answer_within=PATIENCE) as slack:
        app: Any = make(slack)
        here = door(backend, BoltAnswers(app, ["interactive_message"]))
        for payload in (view_submission("form", {"why": words}), view_submission("none", {"why": words})):
            await post(here, *signed_form(payload, SECRET))
        assert len(slack.calls("auth.test")) == 1
        for payload in (asked, pressed, SUGGESTION | {"value": words}):
            await post(here, *signed_form(payload, SECRET))
        app.use(bots_of(make).fit(lambda: None))
        await post(here, *signed_form(view_submission("form", {"why": words}), SECRET))
    assert "skipped calling" in caplog.text
    assert words not in caplog.text


def bots_of(make: Any) -> Bots:
    """Functions for the kind of app that `make` makes."""
    return Bots(make is async_app, FakeSlack())


@MADE
async def test_answers_go_back_by_socket_mode_with_the_ack(
    backend: RedisMessageQueueBackend, make: Any
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        receiver = Receiver(backend, Queues.chosen(backend.settings), BoltAnswers(make(slack)))
        async with receiving(backend, slack, receiver=receiver):
            answered = await slack.send(view_submission("form", {"why": "so"}))
            assert json.loads(answered.attempts[-1].body) == ERRORS
            assert (await slack.send(block_actions("go"))).attempts[-1].body == ""


async def test_an_object_that_is_no_app_is_refused_at_the_start() -> None:
    with pytest.raises(SettingsError, match=r"'bot:handle' is 'int', no Bolt app"):
        BoltAnswers.of(7, "bot:handle", [])
    async with FakeSlack(answer_within=PATIENCE) as slack:
        for wrong in ("app_mention", "views", "shortcut ticket", ":x"):
            with pytest.raises(SettingsError, match="names nothing that an app can answer"):
                BoltAnswers.of(async_app(slack), "bot:app", [wrong])
        with pytest.raises(SettingsError, match=r"names no command, .* begin with /: slash_command:/x\.$"):
            BoltAnswers.of(async_app(slack), "bot:app", ["slash_command:x"])
        with pytest.raises(SettingsError, match="'shortcut:' has no name behind its colon; shortcut alone"):
            BoltAnswers.of(async_app(slack), "bot:app", ["shortcut:"])


@pytest.mark.parametrize("body", ["saved", "", "[" * 100_000], ids=["text", "nothing", "too deep"])
async def test_an_answer_that_is_not_the_json_it_says_ends_no_connection(
    backend: RedisMessageQueueBackend, redis: Redis, body: str
) -> None:
    async with FakeSlack(answer_within=PATIENCE) as slack:
        app = async_app(slack)

        async def answer() -> Any:
            return BoltResponse(status=200, body=body, headers={"Content-Type": "application/json"})

        app.view("odd", middleware=[answer])(answer)
        receiver = Receiver(backend, Queues.chosen(backend.settings), BoltAnswers(app))
        async with receiving(backend, slack, receiver=receiver):
            assert (await slack.send(view_submission("odd"))).accepted
            assert (await slack.send(message("hi"))).accepted
        assert await redis.xlen("slack_events") == 1
