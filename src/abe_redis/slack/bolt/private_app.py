"""The copy of an app that dispatches one event, and reports failures to the attempt."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from abe_redis.slack.bolt.at_work import noting_listeners
from abe_redis.slack.bolt.attempt import Attempt
from abe_redis.slack.bolt.auth_tests import AuthTests
from abe_redis.slack.bolt.copies import AppCopy
from abe_redis.slack.bolt.only_while_posting import without_triggers
from abe_redis.slack.bolt.recognition import Kind
from abe_redis.slack.bolt.returned import checking_listeners
from abe_redis.slack.bolt.swallowed import noting


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of an app of one kind that report to an attempt."""

    kind: Kind
    lazy_runner: Callable[[Attempt], Any]
    error_handler: Callable[[Attempt, Any], Any]
    """Made from the app's own."""
    authorization: Callable[[Attempt, Any], Any]
    """Made from Bolt's own."""
    bolt_authorization: type
    respond: Callable[[Any], Any]
    """Made from Bolt's own."""


def private_app(app: Any, parts: Parts, attempt: Attempt, auth_tests: AuthTests) -> Any:  # noqa: ANN401 - of Bolt
    """The copy for one event.

    Args:
        app: The app.
        parts: What is put into the copy.
        attempt: What they report to.
        auth_tests: Answers of `auth.test`, which clients remember.
    """

    def equip(context: Any) -> None:  # noqa: ANN401 - of Bolt
        client = context["client"]
        ask = noting(client.auth_test, attempt)
        client.auth_test = auth_tests.asking_once(client, context.get("team_id"), ask)
        client.api_call = without_triggers(client.api_call)
        context["respond"] = parts.respond(context.respond)

    copied = AppCopy(app, parts.kind)
    copied.runner.process_before_response = True
    checked = checking_listeners(copied.runner.run, attempt, parts.kind)
    copied.runner.run = noting_listeners(checked, attempt, parts.kind)
    copied.runner.lazy_listener_runner = parts.lazy_runner(attempt)
    copied.replace_error_handlers(lambda inner: parts.error_handler(attempt, inner))
    copied.replace_middleware(
        lambda one: parts.authorization(attempt, one) if isinstance(one, parts.bolt_authorization) else one
    )
    copied.equip_requests(equip)
    return copied.app
