"""Progress messages while a call waits, for clients that ask for them."""

import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio

_LOG = logging.getLogger(__name__)

_EVERY_SECONDS = 1.0


@asynccontextmanager
async def reported(context: Any, arguments: Mapping[str, Any]) -> AsyncIterator[None]:  # noqa: ANN401 - the SDK's
    """Report every second for how long a call has waited, if it is one that may wait."""
    seconds = arguments.get("wait_seconds") or 0
    if seconds <= _EVERY_SECONDS or not _is_within_a_request(context):
        yield
        return
    began = time.monotonic()

    async def tell() -> None:
        while True:
            await anyio.sleep(_EVERY_SECONDS)
            waited = time.monotonic() - began  # each report must say more than the one before
            try:
                await context.report_progress(waited, max(waited, seconds), "waiting for an event")
            except Exception as error:  # noqa: BLE001 - the call goes on, even if the report fails
                _LOG.debug("Progress could not be told: %s", type(error).__name__)
                return

    # Not around the call itself: a task group would wrap its failure in an exception group.
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(tell)
        failure: BaseException | None = None
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised again below
            failure = error
        tasks.cancel_scope.cancel()
    if failure is not None:
        raise failure


def _is_within_a_request(context: Any) -> bool:  # noqa: ANN401 - of either line
    try:
        return context.request_context is not None
    except (ValueError, LookupError):
        return False
