"""Which Bolt apps and releases are taken as a handler."""

from typing import Any

import pytest
from slack_bolt.adapter.starlette import SlackRequestHandler

from abe_redis import EventWorker, slack_event
from abe_redis.bolt import BoltHandler
from abe_redis.errors import SettingsError
from abe_redis.testing import (
    InMemoryBackend,
)
from tests.contract.bolt.bots import Bots


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


async def test_an_adapter_of_bolt_is_told_from_an_app(bots: Bots) -> None:
    """It holds the app, and answers a web framework with it."""
    adapter: Any = SlackRequestHandler(bots.app())
    with pytest.raises(
        SettingsError, match=r"is a SlackRequestHandler of slack_bolt, no Bolt app\. Name the"
    ):
        EventWorker(InMemoryBackend(), adapter)


async def test_an_app_of_a_class_of_ones_own_is_told_from_other_objects(bots: Bots) -> None:
    app = bots.app()
    app.__class__ = type("Mine", (type(app),), {})
    with pytest.raises(SettingsError, match=r"is a Bolt app\. Wrap it: abe_redis\.bolt\.BoltHandler"):
        EventWorker(InMemoryBackend(), app)
