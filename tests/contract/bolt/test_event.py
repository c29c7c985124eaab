"""What listeners of a Bolt app get of an event, when it is done, and how many run at a time."""

import threading
from typing import Any

import anyio
import anyio.to_thread
import pytest

from abe_redis import Event, EventWorker, Retry
from abe_redis.bolt import BoltHandler
from abe_redis.testing import (
    InMemoryBackend,
    app_mention,
)
from tests.contract.bolt.bots import PATIENCE, Bots, handle
from tests.contract.bolt.failing import Store, raise_


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
