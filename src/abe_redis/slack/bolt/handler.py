"""`BoltHandler`: a Bolt app as a worker's handler."""

import logging
from typing import TYPE_CHECKING, Any

from abe_redis.events.event import Event
from abe_redis.events.view import slack_envelope
from abe_redis.runtime import bolt_releases
from abe_redis.slack.bolt import recognition
from abe_redis.worker.threads import in_thread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.slack.bolt.attempt import Attempt

_LOG = logging.getLogger(__name__)


class BoltHandler:
    """A Bolt app, an `App` or an `AsyncApp`, as the handler of an `EventWorker`.

    The event is done when every listener that it concerns, lazy ones included, has returned. What a listener,
    a middleware or the authorization raises is the handler's failure, with its own exception. An event
    without a matching listener is done. So is an event whose exception an `@app.error` handler answered for,
    by returning; if that handler raises, its exception is the failure.

    Listeners find the event as `context["abe_redis_event"]`, with its `id`, `deliveries`, `nack` and `bury`
    (in an `App`, these two are called without `await`). The app itself is not changed: it may answer Slack
    in the same process.
    """

    needs_envelope = True
    """A worker must not show it the inner event alone."""

    def __init__(self, app: Any, *, name: str | None = None) -> None:  # noqa: ANN401 - Bolt may not be installed
        """Take an app; its listeners may be registered later.

        Args:
            app: The app.
            name: What the log and dead letters call it where they cannot name a listener; by default the
                app's own `name`.

        Raises:
            SettingsError: It is no Bolt app, or one of a Bolt that is built differently.
        """
        self._handle = _dispatcher(app, recognition.check_app(app))
        self.handler_name = str(app.name) if name is None else name
        release = bolt_releases.installed()
        if release is not None and not bolt_releases.is_supported(release):
            _LOG.warning(
                "slack-bolt %s is not among the releases that abe-redis is tested with (%s).",
                release,
                bolt_releases.requirement(),
            )

    async def handle_event(self, event: Event) -> None:
        """Dispatch an event to the app's listeners, and wait for them.

        Raises:
            Exception: What one of them, a middleware or the authorization raised.
        """
        from abe_redis.slack.bolt.attempt import Attempt  # noqa: PLC0415 - needs Bolt

        await self._handle(Attempt(event, slack_envelope(event)))

    async def __call__(self, event: Event) -> None:
        """The same as `handle_event`: an `EventWorker` takes functions, too."""
        await self.handle_event(event)


def _dispatcher(app: Any, kind: recognition.Kind) -> "Callable[[Attempt], Awaitable[Any]]":  # noqa: ANN401
    if kind == "async":
        from abe_redis.slack.bolt.async_app import AsyncDispatcher  # noqa: PLC0415 - needs Bolt

        return AsyncDispatcher(app).dispatch
    from abe_redis.slack.bolt.sync_app import SyncDispatcher  # noqa: PLC0415 - needs Bolt

    return in_thread(SyncDispatcher(app).dispatch)
