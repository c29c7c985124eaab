"""Refuses what a listener cannot do in a worker, because Slack no longer waits for an answer."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from abe_redis.errors import AnswerTooLateError


def refuse_answer(what: str) -> NoReturn:
    """Refuse an answer with content.

    Args:
        what: What the app did, as a sentence without its end.

    Raises:
        AnswerTooLateError: Always.
    """
    raise AnswerTooLateError(
        f"{what}, but Slack has had its answer: the request was answered when it was queued, and this is a "
        "worker. Answer a command or an action with respond(), and a view or options inline, where Slack "
        "posts to."
    )


def without_triggers(call: Callable[..., Any]) -> Callable[..., Any]:
    """The client's `api_call`, refusing what needs a `trigger_id`."""

    def api_call(api_method: str, **arguments: Any) -> Any:  # noqa: ANN401 - the client's
        for given in (arguments.get(name) for name in ("json", "params", "data")):
            if isinstance(given, Mapping) and (given.get("trigger_id") or given.get("trigger")):
                raise AnswerTooLateError(
                    f"{api_method} needs its trigger_id within 3 seconds of the click; this is a worker, "
                    "which may run later. Let the listener run where Slack posts to: `abe-redis listen "
                    "--http bot:app --inline KEY`, with a KEY as slash_command:/deploy or "
                    "block_actions:approve."
                )
        return call(api_method, **arguments)

    return api_call
