"""Dispatches through an `App`: reports failures, and waits until everything in it has ended."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, override

import anyio
import anyio.from_thread
from slack_bolt.context.ack import Ack
from slack_bolt.context.respond import Respond
from slack_bolt.kwargs_injection import build_required_kwargs
from slack_bolt.lazy_listener.runner import LazyListenerRunner
from slack_bolt.listener.listener_error_handler import DefaultListenerErrorHandler
from slack_bolt.middleware.authorization.authorization import Authorization
from slack_bolt.middleware.middleware import Middleware
from slack_bolt.middleware.middleware_error_handler import DefaultMiddlewareErrorHandler
from slack_bolt.request import BoltRequest
from slack_bolt.response import BoltResponse
from slack_bolt.util.utils import get_arg_names_of_callable
from slack_sdk.webhook import WebhookResponse

from abe_redis.events.event import Event
from abe_redis.slack.bolt.attempt import Answer, Attempt, has_content, is_unmatched
from abe_redis.slack.bolt.auth_tests import AuthTests
from abe_redis.slack.bolt.only_while_posting import refuse_answer
from abe_redis.slack.bolt.private_app import Parts, private_app
from abe_redis.slack.bolt.ran import check_ran, checking_error_handler
from abe_redis.slack.bolt.responses import checked
from abe_redis.slack.bolt.swallowed import noting_authorization


class SyncDispatcher:
    """Dispatches events through an `App`, which it leaves as it is."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an App, whose inside is used
        self._app = app
        self._auth_tests = AuthTests()

    def dispatch(self, attempt: Attempt) -> None:
        """Dispatch an event in this thread, and then its lazy listeners, one after the other.

        Raises:
            Exception: What failed in it.
        """
        app = private_app(self._app, _PARTS, attempt, self._auth_tests)
        request = BoltRequest(
            mode="socket_mode",
            body=dict(attempt.body),
            context={"abe_redis_event": _in_thread(attempt.event), "ack": _Ack(attempt)},
        )
        response = app.dispatch(request)
        if attempt.failure is None:
            for function, its_request in attempt.lazy:
                self._run_lazy(function, its_request, attempt)
        attempt.check(response)

    def _run_lazy(self, function: Callable[..., Any], request: BoltRequest, attempt: Attempt) -> None:
        attempt.begin(function)
        try:
            result = function(
                **build_required_kwargs(
                    logger=self._app.logger,
                    required_arg_names=get_arg_names_of_callable(function),
                    request=request,
                    response=None,
                    this_func=function,
                )
            )
            check_ran(result, function, "sync")
        except BaseException as error:  # noqa: BLE001 - the attempt's failure, whatever it is
            attempt.fail(error, function)


class _EventInThread(Event):
    """An event whose `nack` and `bury` are called without `await`, in the listener's thread."""

    __slots__ = ("_original",)
    _original: Event

    @override
    def nack(  # type: ignore[override]
        self, *, delay: float = 0, reason: str | None = None, counted: bool = True
    ) -> None:
        _wait_for(partial(self._original.nack, delay=delay, reason=reason, counted=counted))

    @override
    def bury(self, *, reason: str) -> None:  # type: ignore[override]
        _wait_for(partial(self._original.bury, reason=reason))


def _wait_for(settle: Callable[[], Awaitable[None]]) -> None:
    """Settle an event in the event loop, also beyond the time limit."""

    async def shielded() -> None:
        with anyio.CancelScope(shield=True):
            await settle()

    anyio.from_thread.run(shielded)


def _in_thread(event: Event) -> _EventInThread:
    made = _EventInThread(event, **event.facts())
    made._original = event  # noqa: SLF001 - the same module
    return made


class _LazyRunner(LazyListenerRunner):
    """Keeps lazy listeners until the dispatch is over."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @override
    def start(self, function: Callable[..., None], request: BoltRequest) -> None:
        request.context["abe_redis_event"] = _in_thread(self._attempt.event)  # a copy would hold no lease
        self._attempt.lazy.append((function, request))


class _ErrorHandler:
    """Reports exceptions that no `@app.error` handler answers for, in listeners and middleware."""

    def __init__(self, attempt: Attempt, inner: Any) -> None:  # noqa: ANN401 - either of Bolt's classes
        self._attempt = attempt
        self._inner = checking_error_handler(inner, "sync")

    def handle(self, error: Exception, request: BoltRequest, response: BoltResponse | None) -> None:
        """Ask the app's own handler, if it has one."""
        del response
        defaults = (DefaultListenerErrorHandler, DefaultMiddlewareErrorHandler)
        if isinstance(self._inner, defaults):
            if not is_unmatched(error):
                self._attempt.fail(error)
            return
        answer = Answer()
        try:
            self._inner.handle(error=error, request=request, response=answer)
        except Exception as passed_on:  # noqa: BLE001 - the attempt's failure
            self._attempt.fail(passed_on)
        else:
            self._attempt.answered_for(error, answer)


class _Authorization(Middleware):
    """Bolt's authorization, whose failure is reported instead of answered."""

    def __init__(self, attempt: Attempt, inner: Any) -> None:  # noqa: ANN401 - either of Bolt's classes
        self._inner = noting_authorization(inner, attempt)
        self._attempt = attempt

    @override
    def process(
        self, *, req: BoltRequest, resp: BoltResponse, next: Callable[[], BoltResponse]
    ) -> BoltResponse | None:
        goes_on = False

        def go_on() -> BoltResponse:
            nonlocal goes_on
            goes_on = True
            return next()

        answer: BoltResponse | None = self._inner.process(req=req, resp=resp, next=go_on)
        if not goes_on:
            self._attempt.not_authorized()
        return answer


class _Ack(Ack):
    """An ack after Slack already has its answer."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_event = attempt.is_event

    @override
    def __call__(self, *positional: Any, **named: Any) -> BoltResponse:
        answer = super().__call__(*positional, **named)
        if has_content(answer) and not self._is_event:
            self.response = BoltResponse(status=200)  # of a listener that handles the refusal itself
            refuse_answer("ack() was called with content")
        return answer


class _Respond(Respond):
    """A `respond` whose refusal is raised."""

    def __init__(self, inner: Respond) -> None:
        vars(self).update(vars(inner))  # which differ between releases

    @override
    def __call__(self, *positional: Any, **named: Any) -> WebhookResponse:
        answer: WebhookResponse = checked(super().__call__(*positional, **named))
        return answer


_PARTS = Parts("sync", _LazyRunner, _ErrorHandler, _Authorization, Authorization, _Respond)
