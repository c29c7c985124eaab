"""Which listener of an app is at work, for the log and for dead letters."""

from collections.abc import Callable
from typing import Any

from abe_redis.slack.bolt.attempt import FAILED, Attempt
from abe_redis.slack.bolt.recognition import Kind


def noting_listeners(run: Callable[..., Any], attempt: Attempt, kind: Kind) -> Callable[..., Any]:
    """The `run` of a private app's runner, which tells the attempt of each listener that it runs.

    Args:
        run: The runner's own, whose parameters Bolt names. It hands what a listener raises to the error
            handler.
        attempt: The attempt.
        kind: The kind of the app.
    """

    def begin(listener: Any) -> None:  # noqa: ANN401 - of Bolt
        attempt.begin(getattr(listener, "ack_function", None))

    def end(response: Any) -> Any:  # noqa: ANN401 - of Bolt
        if attempt.failure is None and (response is None or response.status < FAILED):
            attempt.begin(None)  # what fails behind it is a middleware
        return response

    def run_noted(**how: Any) -> Any:  # noqa: ANN401 - of Bolt
        begin(how["listener"])
        return end(run(**how))

    async def run_noted_async(**how: Any) -> Any:  # noqa: ANN401 - of Bolt
        begin(how["listener"])
        return end(await run(**how))

    return run_noted if kind == "sync" else run_noted_async
