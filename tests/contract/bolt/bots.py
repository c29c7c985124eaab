"""Bolt apps for tests, sync and async, and a worker that lets them handle payloads."""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
from slack_bolt import App
from slack_bolt.async_app import AsyncApp
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

from abe_redis import Bury, Event, EventWorker
from abe_redis.bolt import BoltHandler
from abe_redis.testing import FakeSlack, InMemoryBackend

PATIENCE = 120
TOKEN = "xoxb-test"


@dataclass
class Bots:
    """Makes apps of one kind, with listeners that are written once for both."""

    is_async: bool
    slack: FakeSlack

    def app(self, **options: Any) -> Any:
        options.setdefault("signing_secret", "of-nobody")
        token = None if options.keys() & {"authorize", "installation_store"} else TOKEN
        if self.is_async:
            return AsyncApp(client=AsyncWebClient(token=token, base_url=self.slack.api_url), **options)
        return App(client=WebClient(token=token, base_url=self.slack.api_url), **options)

    def fit(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function as this kind needs it; it returns what an async one awaits."""
        if not self.is_async:
            return function

        @functools.wraps(function)
        async def awaiting(*positional: Any, **named: Any) -> Any:
            result = function(*positional, **named)
            return await result if inspect.isawaitable(result) else result

        return awaiting


@dataclass
class Seen:
    """What a worker has seen."""

    errors: list[Exception] = field(default_factory=list)
    worker: EventWorker | None = None
    backend: InMemoryBackend | None = None

    @property
    def error(self) -> Exception:
        (error,) = self.errors
        return error


async def handle(app: Any, *payloads: dict[str, Any], stream: str = "slack_events", **options: Any) -> Seen:
    """Let a worker handle payloads by an app until all are finished; failures are buried."""
    return await handled_by(BoltHandler(app), *payloads, stream=stream, **options)


async def handled_by(
    handler: Any, *payloads: dict[str, Any], stream: str = "slack_events", **options: Any
) -> Seen:
    """The same, by any handler."""
    seen = Seen(backend=InMemoryBackend())
    assert seen.backend is not None

    def bury(event: Event, error: Exception) -> Bury:
        seen.errors.append(error)
        return Bury("as the test has it")

    await seen.backend.publish_many(stream, list(payloads))
    options.setdefault("policy", bury)
    seen.worker = EventWorker(seen.backend, handler, group="bot", **options)
    with anyio.fail_after(PATIENCE):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(seen.worker.run)
            await seen.backend.finished("bot")
            await seen.worker.shutdown()
    return seen
