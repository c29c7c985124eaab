"""A copy of a Bolt app that logs no payloads; changes go to the copy, not to the app.

The app itself stays as it is, since it may answer Slack in the same process.
"""

import copy
from collections.abc import Callable
from typing import Any

from abe_redis.slack.bolt.log import without_bodies
from abe_redis.slack.bolt.recognition import INSIDE, Kind
from abe_redis.worker.handlers import name_of

_DOORS = tuple(
    f"slack_bolt.middleware.{name}." for name in ("request_verification", "ssl_check", "url_verification")
)


class AppCopy:
    """A copy of an app, and its parts that may be changed."""

    def __init__(self, app: Any, kind: Kind) -> None:  # noqa: ANN401 - of Bolt
        """Copy an app.

        Args:
            app: The app.
            kind: Which kind it is.
        """
        self._inside = INSIDE[kind]
        self.app: Any = copy.copy(app)
        """The copy."""
        ran = list[str]()
        without_bodies(self.app, self._inside.logger, ran)
        original = self._get("runner")
        self.runner: Any = copy.copy(original)
        """It runs the listeners."""
        without_bodies(self.runner)
        self.runner.run = _noting(self.runner.run, ran)
        self._set("runner", self.runner)
        self._set("middleware", [_quiet(one) for one in self._get("middleware") if not _is_of_a_door(one)])
        self.replace_middleware(lambda one: self._running_here(one, original))
        self.equip_requests(self._quieten)

    def replace_middleware(self, change: Callable[[Any], Any]) -> None:
        """Replace each middleware, by another or by itself."""
        self._set("middleware", [change(one) for one in self._get("middleware")])

    def replace_error_handlers(self, change: Callable[[Any], Any]) -> None:
        """Put something in the place of the error handlers of listeners and of middleware."""
        self.runner.listener_error_handler = change(self.runner.listener_error_handler)
        self._set("middleware_error_handler", change(self._get("middleware_error_handler")))

    def equip_requests(self, equip: Callable[[Any], None]) -> None:
        """Let the context of each request be changed; its client is its own."""
        init_context = self._get("init_context")

        def init(request: Any) -> None:  # noqa: ANN401 - of Bolt
            init_context(request)
            equip(request.context)

        self._set("init_context", init)

    def _running_here(self, middleware: Any, original: Any) -> Any:  # noqa: ANN401 - of Bolt
        """The middleware, or a copy if it keeps the app's runner, as steps do before Bolt 1.21."""
        kept = [name for name, value in getattr(middleware, "__dict__", {}).items() if value is original]
        if not kept:
            return middleware
        copied = copy.copy(middleware)
        for name in kept:
            setattr(copied, name, self.runner)
        return copied

    def _quieten(self, context: Any) -> None:  # noqa: ANN401 - of Bolt
        context["listener_runner"] = self.runner
        without_bodies(context["client"], "_logger")

    def _get(self, part: str) -> Any:  # noqa: ANN401 - of Bolt
        return getattr(self.app, getattr(self._inside, part))

    def _set(self, part: str, value: Any) -> None:  # noqa: ANN401 - of Bolt
        setattr(self.app, getattr(self._inside, part), value)


def _noting(run: Callable[..., Any], ran: list[str]) -> Callable[..., Any]:
    """The `run` of a runner, sync or async, which notes the listeners that it runs."""

    def run_noting(*, listener: Any, **how: Any) -> Any:  # noqa: ANN401 - of Bolt
        ran.append(name_of(getattr(listener, "ack_function", listener)))
        return run(listener=listener, **how)

    return run_noting


def _is_of_a_door(middleware: Any) -> bool:  # noqa: ANN401 - of Bolt
    """Whether it repeats a check of the receiver: of a signature, a certificate or an address.

    A queued payload that looks like such a check is an event with a stray field, and has its listener.
    """
    return type(middleware).__module__.startswith(_DOORS)


def _quiet(middleware: Any) -> Any:  # noqa: ANN401 - of Bolt
    """A copy of a middleware of Bolt's own; a user's stays, with the logger that its function is given."""
    if not type(middleware).__module__.startswith("slack_bolt.") or hasattr(middleware, "func"):
        return middleware
    quiet = copy.copy(middleware)
    without_bodies(quiet)
    return quiet
