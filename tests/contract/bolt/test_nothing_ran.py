"""Functions of a Bolt app that return a coroutine or a generator, of which nothing has run."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from slack_bolt import BoltResponse

from abe_redis.testing import FakeSlack, app_mention
from tests.contract.bolt.bots import Bots, handle
from tests.contract.bolt.failing import raise_


async def coroutine() -> None:
    """What a plain `App` does not await."""


def generator() -> Iterator[None]:
    yield


async def async_generator() -> AsyncIterator[None]:
    yield


NOT_RUN = pytest.mark.parametrize(
    ("function", "words"),
    [
        (coroutine, "coroutine returned a coroutine, of which nothing has run"),
        (generator, "generator returned a generator, of which nothing has run"),
        (async_generator, "async_generator returned a generator, of which nothing has run"),
    ],
)


@pytest.fixture
def sync_app(slack: FakeSlack) -> Any:
    return Bots(is_async=False, slack=slack).app()


@NOT_RUN
async def test_a_listener_of_an_app_that_did_not_run_has_failed(
    sync_app: Any, function: Callable[..., Any], words: str
) -> None:
    sync_app.event("app_mention")(function)
    seen = await handle(sync_app, app_mention("hi"))
    assert isinstance(seen.error, TypeError)
    assert words in str(seen.error)
    assert seen.worker is not None
    assert (seen.worker.handled, seen.worker.failed) == (0, 1)


@NOT_RUN
async def test_a_lazy_listener_of_an_app_that_did_not_run_has_failed(
    sync_app: Any, function: Callable[..., Any], words: str
) -> None:
    sync_app.event("app_mention")(ack=lambda: None, lazy=[function])
    assert words in str((await handle(sync_app, app_mention("hi"))).error)


@NOT_RUN
async def test_an_error_handler_of_an_app_that_did_not_run_answers_for_nothing(
    sync_app: Any, function: Callable[..., Any], words: str
) -> None:
    sync_app.event("app_mention")(lambda: raise_(LookupError("of the listener")))
    sync_app.error(function)
    assert words in str((await handle(sync_app, app_mention("hi"))).error)


async def test_a_middleware_of_an_app_that_did_not_run_has_failed(sync_app: Any) -> None:
    async def middleware(next_: Callable[[], Any]) -> None:
        next_()

    sync_app.use(middleware)
    sync_app.event("app_mention")(lambda: None)
    error = (await handle(sync_app, app_mention("hi"))).error
    assert isinstance(error, TypeError)
    assert "A middleware of the Bolt app returned a coroutine" in str(error)


async def test_a_listener_s_middleware_of_an_app_that_did_not_run_has_failed(sync_app: Any) -> None:
    async def middleware(next_: Callable[[], Any]) -> None:
        next_()

    sync_app.event("app_mention", middleware=[middleware])(lambda: None)
    assert "A middleware of the Bolt app returned" in str((await handle(sync_app, app_mention("hi"))).error)


@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
async def test_a_matcher_of_an_app_that_did_not_run_matches_nothing(sync_app: Any) -> None:
    ran = list[str]()

    async def matcher() -> bool:
        return False

    sync_app.event("app_mention", matchers=[matcher])(lambda: ran.append("listener"))
    error = (await handle(sync_app, app_mention("hi"))).error
    assert isinstance(error, TypeError)
    assert "matcher is a coroutine function" in str(error)
    assert ran == []


async def test_what_a_listener_of_an_async_app_forgets_to_await_is_a_failure(slack: FakeSlack) -> None:
    bots = Bots(is_async=True, slack=slack)

    async def forgets() -> Any:
        return coroutine()

    app = bots.app()
    app.event("app_mention")(forgets)
    assert "Await it in the function" in str((await handle(app, app_mention("hi"))).error)
    app = bots.app()
    app.event("app_mention")(ack=bots.fit(lambda: None), lazy=[forgets])
    assert "Await it in the function" in str((await handle(app, app_mention("hi"))).error)
    app = bots.app()
    app.event("app_mention")(bots.fit(lambda: raise_(LookupError("of the listener"))))
    app.error(forgets)
    assert "Await it in the function" in str((await handle(app, app_mention("hi"))).error)


async def test_what_a_listener_returns_otherwise_does_not_matter(bots: Bots) -> None:
    for returned in ("text", 0, [1], {"a": 1}, BoltResponse(status=200, body="ignored for an event")):
        app = bots.app()
        app.event("app_mention")(bots.fit(lambda returned=returned: returned))
        assert (await handle(app, app_mention("hi"))).errors == []
