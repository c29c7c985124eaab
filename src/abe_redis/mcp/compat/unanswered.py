"""The requests on stdin that have no answer yet: at the end of stdin, they get one before the server ends.

Both SDK lines cancel what is under way when stdin ends. So the end is passed on to them a little later.
"""

import threading
import time
from typing import Any

from pydantic_core import from_json

_SECONDS, _WAITING_SECONDS = 10.0, 1.0
"""Longest time that the end waits for answers; and for those of calls that wait for events or a person."""
_LONG = "subscriptions/"
"""Requests whose answer comes when the client ends them."""

CANCELLED = "notifications/cancelled"


def cancelled_request(said: Any) -> str | int | None:  # noqa: ANN401 - JSON
    """The id of the request that a client's message gives up on, if it does."""
    if not isinstance(said, dict) or said.get("method") != CANCELLED:
        return None
    parameters = said.get("params")
    number = parameters.get("requestId") if isinstance(parameters, dict) else None
    return number if isinstance(number, str | int) else None


class Unanswered:
    """The requests of one client; two threads use it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._requests: dict[str | int, bool] = {}
        """By id, whether the request waits for something that may not come."""
        self._questions: set[str | int | None] = set()
        """Our own requests, which nobody answers after the end."""

    def received(self, line: str) -> str | int | None:
        """Note a message of the client, and return the id of the request that it gives up on, if it does."""
        message: dict[str, Any] = from_json(line)
        method, number = message.get("method"), message.get("id")
        with self._changed:
            if method == CANCELLED:
                if (cancelled := cancelled_request(message)) is not None:
                    self._requests.pop(cancelled, None)
                return cancelled
            if method is None:
                self._questions.discard(number)
            elif number is not None:
                self._requests[number] = _waits(method, message.get("params") or {})
        return None

    def sent(self, line: str) -> None:
        """Note a message of ours."""
        message: dict[str, Any] = from_json(line)
        number = message.get("id")
        if number is None:
            return
        with self._changed:
            if "method" in message:
                self._questions.add(number)
            else:
                self._requests.pop(number, None)
            self._changed.notify_all()

    def wait(self) -> bool:
        """Wait until every request is answered, for some seconds at most; whether they are."""
        began = time.monotonic()
        with self._changed:
            while self._requests:
                most = _SECONDS if self._is_working() else _WAITING_SECONDS
                if (left := began + most - time.monotonic()) <= 0:
                    return False
                self._changed.wait(left)
        return True

    def _is_working(self) -> bool:
        """Whether a request is under way whose answer comes by itself."""
        return not self._questions and not all(self._requests.values())


def _waits(method: str, parameters: dict[str, Any]) -> bool:
    arguments = parameters.get("arguments")
    return method.startswith(_LONG) or (isinstance(arguments, dict) and bool(arguments.get("wait_seconds")))
