"""Dispatches through an `AsyncApp`: reports failures, and waits until everything in it has ended."""

from collections.abc import Awaitable, Callable
from typing import Any, override

import anyio
from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.respond.async_respond import AsyncRespond
from slack_bolt.kwargs_injection.async_utils import build_async_required_kwargs
from slack_bolt.lazy_listener.async_runner import AsyncLazyListenerRunner
from slack_bolt.listener.async_listener_error_handler import AsyncDefaultListenerErrorHandler
from slack_bolt.middleware.async_middleware import AsyncMiddleware
from slack_bolt.middleware.async_middleware_error_handler import AsyncDefaultMiddlewareErrorHandler
from slack_bolt.middleware.authorization.async_authorization import AsyncAuthorization
from slack_bolt.request.async_request import AsyncBoltRequest
from slack_bolt.response import BoltResponse
from slack_bolt.util.utils import get_arg_names_of_callable
from slack_sdk.webhook import WebhookResponse

from abe_redis.slack.bolt.attempt import Answer, Attempt, has_content, is_unmatched
from abe_redis.slack.bolt.auth_tests import AuthTests
from abe_redis.slack.bolt.only_while_posting import refuse_answer
from abe_redis.slack.bolt.private_app import Parts, private_app
from abe_redis.slack.bolt.ran import check_ran, checking_error_handler
from abe_redis.slack.bolt.responses import checked
from abe_redis.slack.bolt.swallowed import noting_authorization
from abe_redis.worker.call import call


class AsyncDispatcher:
    """Dispatches events through an `AsyncApp`, which it leaves as it is."""

    def __init__(self, app: Any) -> None:  # noqa: ANN401 - an AsyncApp, whose inside is used
        self._app = app
        self._auth_tests = AuthTests()

    async def dispatch(self, attempt: Attempt) -> None:
        """Dispatch an event, and wait for its lazy listeners.

        Raises:
            Exception: What failed in it.
        """
        app = private_app(self._app, _PARTS, attempt, self._auth_tests)
        request = AsyncBoltRequest(
            mode="socket_mode",
            body=dict(attempt.body),
            context={"abe_redis_event": attempt.event, "ack": _Ack(attempt)},
        )
        response = await app.async_dispatch(request)
        if attempt.lazy and attempt.failure is None:
            async with anyio.create_task_group() as tasks:
                for function, its_request in attempt.lazy:
                    tasks.start_soon(self._run_lazy, function, its_request, attempt)
        attempt.check(response)

    async def _run_lazy(
        self, function: Callable[..., Awaitable[Any]], request: AsyncBoltRequest, attempt: Attempt
    ) -> None:
        arguments = build_async_required_kwargs(
            logger=self._app.logger,
            required_arg_names=get_arg_names_of_callable(function),
            request=request,
            response=None,
            this_func=function,
        )
        attempt.begin(function)
        try:
            # A task that lets SystemExit out ends the event loop; `call` turns it into a failure.
            check_ran(await call(lambda: function(**arguments), seconds=None), function, "async")
        except Exception as error:  # noqa: BLE001 - the attempt's failure
            attempt.fail(error, function)


class _LazyRunner(AsyncLazyListenerRunner):
    """Keeps lazy listeners until the dispatch is over."""

    def __init__(self, attempt: Attempt) -> None:
        self._attempt = attempt

    @override
    def start(self, function: Callable[..., Awaitable[None]], request: AsyncBoltRequest) -> None:
        request.context["abe_redis_event"] = self._attempt.event  # a copy would hold no lease
        self._attempt.lazy.append((function, request))


class _ErrorHandler:
    """Reports exceptions that no `@app.error` handler answers for, in listeners and middleware."""

    def __init__(self, attempt: Attempt, inner: Any) -> None:  # noqa: ANN401 - either of Bolt's classes
        self._attempt = attempt
        self._inner = checking_error_handler(inner, "async")

    async def handle(
        self, error: Exception, request: AsyncBoltRequest, response: BoltResponse | None
    ) -> None:
        """Ask the app's own handler, if it has one."""
        del response
        defaults = (AsyncDefaultListenerErrorHandler, AsyncDefaultMiddlewareErrorHandler)
        if isinstance(self._inner, defaults):
            if not is_unmatched(error):
                self._attempt.fail(error)
            return
        answer = Answer()
        try:
            await self._inner.handle(error=error, request=request, response=answer)
        except Exception as passed_on:  # noqa: BLE001 - the attempt's failure
            self._attempt.fail(passed_on)
        else:
            self._attempt.answered_for(error, answer)


class _Authorization(AsyncMiddleware):
    """Bolt's authorization, whose failure is reported instead of answered."""

    def __init__(self, attempt: Attempt, inner: Any) -> None:  # noqa: ANN401 - either of Bolt's classes
        self._inner = noting_authorization(inner, attempt)
        self._attempt = attempt

    @override
    async def async_process(
        self, *, req: AsyncBoltRequest, resp: BoltResponse, next: Callable[[], Awaitable[BoltResponse]]
    ) -> BoltResponse | None:
        goes_on = False

        async def go_on() -> BoltResponse:
            nonlocal goes_on
            goes_on = True
            return await next()

        answer: BoltResponse | None = await self._inner.async_process(req=req, resp=resp, next=go_on)
        if not goes_on:
            self._attempt.not_authorized()
        return answer


class _Ack(AsyncAck):
    """An ack after Slack already has its answer."""

    def __init__(self, attempt: Attempt) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._is_event = attempt.is_event

    @override
    async def __call__(self, *positional: Any, **named: Any) -> BoltResponse:
        answer = await super().__call__(*positional, **named)
        if has_content(answer) and not self._is_event:
            self.response = BoltResponse(status=200)  # of a listener that handles the refusal itself
            refuse_answer("ack() was called with content")
        return answer


class _Respond(AsyncRespond):
    """A `respond` whose refusal is raised."""

    def __init__(self, inner: AsyncRespond) -> None:
        vars(self).update(vars(inner))  # which differ between releases

    @override
    async def __call__(self, *positional: Any, **named: Any) -> WebhookResponse:
        answer: WebhookResponse = checked(await super().__call__(*positional, **named))
        return answer


_PARTS = Parts("async", _LazyRunner, _ErrorHandler, _Authorization, AsyncAuthorization, _Respond)
