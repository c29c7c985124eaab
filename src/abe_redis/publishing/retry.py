"""Retries a repeatable step until its time is up."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import NamedTuple

import anyio

from abe_redis.client import failures

_FIRST_PAUSE_SECONDS = 0.05
_MOST_PAUSE_SECONDS = 0.4


class FirstTry(NamedTuple):
    """A first try that has failed."""

    began: float
    """Monotonic time, in seconds."""
    error: BaseException


async def retry[Result](
    attempt: Callable[[], Awaitable[Result]],
    *,
    seconds: float,
    least_seconds: float = 0,
    between: Callable[[], Awaitable[None]],
    passes: Callable[[BaseException], bool] = failures.passes,
    failed: FirstTry | None = None,
) -> Result:
    """Try until it succeeds, or fails in a way that does not pass, or its time is up.

    Args:
        attempt: The step; it must be repeatable.
        seconds: The time limit, from the beginning of the first try.
        least_seconds: Time for each try that began within the limit, even if that ends meanwhile, for whoever
            must know what became of the last one.
        between: Runs before each further try.
        passes: Whether a further try can help after a failure.
        failed: The first try, if it was made already.

    Returns:
        What the attempt returns.

    Raises:
        failures.FAILURES: The last failure, or an earlier one if that says more than that the time was up.
    """
    deadline = (failed.began if failed else time.monotonic()) + seconds
    pause = _FIRST_PAUSE_SECONDS
    error = failed.error if failed else None
    why = error or TimeoutError()
    while error is None or (passes(error) and time.monotonic() + pause < deadline):
        if error is not None:
            await anyio.sleep(pause)
            pause = min(2 * pause, _MOST_PAUSE_SECONDS)
            await between()
        try:
            async with asyncio.timeout(max(least_seconds, deadline - time.monotonic())):
                return await attempt()
        except failures.FAILURES as failure:
            error = failure
            if isinstance(why, TimeoutError) or not isinstance(error, TimeoutError):
                why = error
    raise why
