"""A Bolt app as a worker's handler: what its failures mean, sync and async, on every supported release."""

import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest
from slack_bolt import BoltResponse
from slack_bolt.error import BoltUnhandledRequestError
from slack_sdk.errors import SlackApiError
from slack_sdk.oauth.installation_store import Bot

from abe_redis import Backoff, Bury, Event, EventWorker, Retry, slack_event
from abe_redis.bolt import AnswerTooLateError, BoltHandler, FailedAnswerError, NotAuthorizedError
from abe_redis.errors import SettingsError
from abe_redis.sanitize.exceptions import place
from abe_redis.testing import (
    FakeSlack,
    InMemoryBackend,
    app_mention,
    block_actions,
    envelope,
    message,
    slash_command,
    view_submission,
)
from tests.contract.bolt.bots import PATIENCE, TOKEN, Bots, handle

REFUSED = SlackApiError("refused", {"error": "fatal_error"})  # type: ignore[no-untyped-call]


def raise_(error: Exception) -> None:
    raise error


def is_here(error: Exception) -> bool:
    """Whether the log names a place in the listener's own file."""
    return __file__ in (place(error) or "")


# What fails


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


class Store:
    """An installation store with one bot; `failing` is what it raises instead."""

    def __init__(self, failing: Exception | None = None) -> None:
        self.failing = failing

    def _find(self, team_id: str | None) -> Bot:
        if self.failing is not None:
            raise self.failing
        return Bot(
            app_id="A1", bot_token=TOKEN, bot_id="B1", bot_user_id="U1", team_id=team_id, installed_at=0.0
        )

    def find_bot(self, *, team_id: str | None, **_: Any) -> Bot:
        return self._find(team_id)

    async def async_find_bot(self, *, team_id: str | None, **_: Any) -> Bot:
        return self._find(team_id)


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


# What is no failure


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


# The event, and its end


async def test_an_event_is_done_when_its_lazy_listeners_are(bots: Bots) -> None:
    app, began, may_end = bots.app(), threading.Event(), threading.Event()

    def lazy() -> Any:
        began.set()
        return anyio.to_thread.run_sync(may_end.wait) if bots.is_async else may_end.wait()

    app.event("app_mention")(ack=bots.fit(lambda: None), lazy=[bots.fit(lazy)])
    backend = InMemoryBackend()
    await backend.publish("slack_events", app_mention("hi"))
    worker = EventWorker(backend, BoltHandler(app), group="bot")
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await anyio.to_thread.run_sync(began.wait)
            assert (backend.unfinished("bot"), worker.handled) == (1, 0)
            may_end.set()
            await backend.finished("bot")
            await worker.shutdown()
    assert worker.handled == 1


async def test_listeners_have_the_event(bots: Bots) -> None:
    app, ids = bots.app(), list[tuple[str, str, int]]()

    def listener(context: Any, abe_redis_event: Event) -> None:
        event = context["abe_redis_event"]
        assert abe_redis_event is event
        ids.append((event.stream, event.id, event.deliveries))

    app.event("app_mention")(ack=bots.fit(listener), lazy=[bots.fit(listener)])
    seen = await handle(app, app_mention("hi"))
    assert seen.errors == []
    assert seen.backend is not None
    assert len(seen.backend.published()) == 1
    assert [(stream, deliveries) for stream, _, deliveries in ids] == [("slack_events", 1)] * 2
    assert len({entry_id for _, entry_id, _ in ids}) == 1


@pytest.mark.parametrize("is_lazy", [False, True])
async def test_listeners_may_nack_and_bury(bots: Bots, is_lazy: bool) -> None:
    app, deliveries = bots.app(), list[int]()

    def listener(context: Any) -> Any:
        event = context["abe_redis_event"]
        deliveries.append(event.deliveries)
        return event.nack() if event.deliveries < 3 else event.bury(reason="enough")

    if is_lazy:
        app.event("app_mention")(ack=bots.fit(lambda: None), lazy=[bots.fit(listener)])
    else:
        app.event("app_mention")(bots.fit(listener))
    seen = await handle(app, app_mention("hi"))
    assert deliveries == [1, 2, 3]
    assert seen.backend is not None
    assert [one.reason for one in seen.backend.buried()] == ["enough"]


async def test_a_redelivery_does_not_look_like_slack_s_retry(bots: Bots) -> None:
    app, headers = bots.app(), list[Any]()

    def listener(request: Any) -> None:
        headers.append(request.headers)
        if len(headers) < 2:
            raise LookupError("again")

    app.event("app_mention")(bots.fit(listener))
    await handle(app, app_mention("hi"), policy=lambda _, __: Retry())
    assert [list(one) for one in headers] == [[], []]


async def test_auth_test_is_asked_once_for_a_backlog(bots: Bots) -> None:
    app, handled = bots.app(installation_store=Store(), installation_store_bot_only=True), list[str]()
    app.event("app_mention")(bots.fit(lambda context: handled.append(context.bot_user_id)))
    bots.slack.limit("auth.test", calls=1, seconds=600)
    seen = await handle(app, *[app_mention(str(number)) for number in range(20)], concurrency=10)
    assert seen.errors == []
    assert len(handled) == 20
    assert len(bots.slack.calls("auth.test")) == 1


async def test_the_app_itself_stays_as_it_is(bots: Bots) -> None:
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("no"))))
    runner = app.listener_runner
    before, inside = dict(vars(app)), dict(vars(runner))
    middleware = list(vars(app)["_async_middleware_list" if bots.is_async else "_middleware_list"])
    await handle(app, app_mention("hi"))
    assert (dict(vars(app)), dict(vars(runner))) == (before, inside)
    assert app.listener_runner is runner
    assert not runner.process_before_response
    assert list(vars(app)["_async_middleware_list" if bots.is_async else "_middleware_list"]) == middleware


async def test_a_listener_that_is_registered_later_is_known(bots: Bots) -> None:
    app, said = bots.app(), list[str]()
    handler = BoltHandler(app)
    app.event("app_mention")(bots.fit(lambda event: said.append(event["text"])))
    await handler.handle_event(Event(app_mention("hi"), stream="s", group="g", id="1-0", deliveries=1))
    assert len(said) == 1


async def test_as_many_events_run_at_a_time_as_the_worker_lets(bots: Bots) -> None:
    app, lock, at_work, most = bots.app(), threading.Lock(), 0, 0
    together = threading.Barrier(3)

    def change(by: int) -> None:
        nonlocal at_work, most
        with lock:
            at_work += by
            most = max(most, at_work)

    def listener() -> Any:
        change(1)
        if bots.is_async:
            return anyio.to_thread.run_sync(leave)
        return leave()

    def leave() -> None:
        together.wait(PATIENCE)
        change(-1)

    app.event("app_mention")(bots.fit(listener))
    seen = await handle(app, *[app_mention(str(number)) for number in range(9)], concurrency=3)
    assert (seen.errors, most) == ([], 3)


async def test_an_async_listener_that_takes_too_long_is_cancelled(slack: FakeSlack) -> None:
    bots, cancelled, errors = Bots(is_async=True, slack=slack), set[str](), list[Exception]()
    app = bots.app()

    async def forever(body: dict[str, Any]) -> None:
        try:
            await anyio.sleep_forever()
        finally:
            cancelled.add(body["event"]["type"])

    def again_until_cancelled(event: Event, error: Exception) -> Retry | Bury:
        """On a slow machine the time may be over before the listener begins."""
        errors.append(error)
        return Bury("cancelled") if event["event"]["type"] in cancelled else Retry()

    app.event("app_mention")(forever)
    app.event("message")(ack=bots.fit(lambda: None), lazy=[forever])
    await slack_is_known(app)
    await handle(app, app_mention("hi"), message("hi"), handler_timeout=0.1, policy=again_until_cancelled)
    assert {type(error) for error in errors} == {TimeoutError}
    assert cancelled == {"app_mention", "message"}


async def test_a_sync_listener_that_takes_too_long_is_a_failure(slack: FakeSlack) -> None:
    app, may_end = Bots(is_async=False, slack=slack).app(), threading.Event()

    def listener() -> None:
        may_end.wait()

    app.event("app_mention")(listener)
    seen = await handle(app, app_mention("hi"), handler_timeout=0.1)
    may_end.set()
    assert isinstance(seen.error, TimeoutError)


async def slack_is_known(app: Any) -> None:
    """Ask `auth.test` now, so that a short time limit is the listener's alone."""
    await BoltHandler(app).handle_event(
        Event(envelope({"type": "x"}), stream="s", group="g", id="1-0", deliveries=1)
    )


async def test_a_lost_lease_cancels_its_listener(slack: FakeSlack) -> None:
    bots, began, deliveries = Bots(is_async=True, slack=slack), anyio.Event(), list[int]()
    app = bots.app()

    async def listener(context: Any) -> None:
        deliveries.append(context["abe_redis_event"].deliveries)
        if len(deliveries) == 1:
            began.set()
            await anyio.sleep_forever()

    app.event("app_mention")(listener)
    backend = InMemoryBackend()
    await backend.publish("slack_events", app_mention("hi"))
    worker = EventWorker(backend, BoltHandler(app), group="bot")
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            await began.wait()
            backend.lose_leases()
            await backend.finished("bot")
            await worker.shutdown()
    assert deliveries == [1, 2]


# What needs the live request


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
    assert bots.slack.calls("views.open") == []


async def test_an_ack_without_content_is_in_order(bots: Bots) -> None:
    app = bots.app()
    app.view("form")(bots.fit(lambda ack: ack()))
    app.event("app_mention")(bots.fit(lambda ack: ack("which Slack ignores for an event")))
    assert (await handle(app, view_submission("form"), app_mention("hi"))).errors == []


# What is refused at the start


def test_only_a_bolt_app_is_taken() -> None:
    with pytest.raises(SettingsError, match="takes an App or an AsyncApp of slack_bolt, not 'dict'"):
        BoltHandler({})


async def test_a_worker_says_what_a_bolt_app_needs(bots: Bots) -> None:
    backend, app = InMemoryBackend(), bots.app()
    with pytest.raises(SettingsError, match=r"is a Bolt app\. Wrap it: abe_redis\.bolt\.BoltHandler"):
        EventWorker(backend, app)
    worker = EventWorker(backend, BoltHandler(app), view=slack_event)
    with pytest.raises(SettingsError, match="needs the whole envelope"):
        await worker.run()


async def test_a_bolt_that_is_built_differently_is_refused(bots: Bots) -> None:
    app = bots.app()
    kind = "_async_listener_runner" if bots.is_async else "_listener_runner"
    delattr(app, kind)
    with pytest.raises(SettingsError, match=f"{kind} is missing"):
        BoltHandler(app)
