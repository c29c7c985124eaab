"""Checks what listeners return in a worker: that they ran, and no answer that reaches nobody."""

import copy
from collections.abc import Callable
from typing import Any

from slack_bolt.response import BoltResponse

from abe_redis.slack.bolt.attempt import Attempt
from abe_redis.slack.bolt.only_while_posting import refuse_answer
from abe_redis.slack.bolt.ran import check_matchers, check_ran
from abe_redis.slack.bolt.recognition import Kind
from abe_redis.worker.handlers import name_of


def checking_listeners(run: Callable[..., Any], attempt: Attempt, kind: Kind) -> Callable[..., Any]:
    """The `run` of a private app's runner, which checks what each listener returns.

    Args:
        run: The runner's own, whose parameters Bolt names.
        attempt: The attempt.
        kind: The kind of the app.
    """

    def check(result: Any, function: Callable[..., Any]) -> Any:  # noqa: ANN401 - the listener's
        check_ran(result, function, kind)
        if isinstance(result, BoltResponse) and attempt.is_lost(result):
            refuse_answer(f"{name_of(function)} returned an answer with content")
        return result

    def run_checked(*, listener: Any, **how: Any) -> Any:  # noqa: ANN401 - of Bolt
        checked = copy.copy(listener)

        def run_ack_function(**given: Any) -> Any:  # noqa: ANN401 - the listener's
            check_matchers(listener)
            return check(listener.run_ack_function(**given), listener.ack_function)

        async def run_ack_function_async(**given: Any) -> Any:  # noqa: ANN401 - the listener's
            return check(await listener.run_ack_function(**given), listener.ack_function)

        checked.run_ack_function = run_ack_function if kind == "sync" else run_ack_function_async
        return run(listener=checked, **how)

    return run_checked
