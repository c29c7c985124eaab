"""The records of the fake Slack: the calls, and the outcome of each event that it sent."""

import asyncio
from collections.abc import Callable, Generator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class SlackCall:
    """One call of the Web API."""

    method: str
    """As in `chat.postMessage`; `response_url` for what was posted to one."""
    arguments: dict[str, Any]
    """Without the token; what was sent as JSON in a form field is decoded."""
    token: str | None = field(repr=False)
    """The token it was called with."""
    status: int
    """The answer's HTTP status."""
    answer: dict[str, Any]
    """The answer's body."""


@dataclass(frozen=True, slots=True)
class SlackAttempt:
    """One time that Slack sent something."""

    number: int
    """0 for the first; above it, what `X-Slack-Retry-Num` says."""
    reason: str | None
    """Why it is sent again, as `X-Slack-Retry-Reason` says."""
    seconds: float
    """Time until the answer, or until Slack gave up on it."""
    status: int | None = None
    """The HTTP status of the answer; None without an answer, and in Socket Mode."""
    body: str = ""
    """The body of the answer, or of the ack in Socket Mode as JSON."""
    accepted: bool = False
    """Whether that ended it: a 2xx, or an ack."""


class SlackDelivery:
    """Something that Slack sends until it is accepted, or until it gives up.

    Await it, or call `wait`: both return it when it has ended.
    """

    def __init__(self, payload: dict[str, Any]) -> None:
        self.payload = payload
        """The payload that is sent."""
        self.attempts: list[SlackAttempt] = []
        """The attempts that have ended: answered, refused or given up on."""
        self._ended: Future[None] = Future()

    @property
    def accepted(self) -> bool:
        """Whether the last attempt was accepted."""
        return bool(self.attempts) and self.attempts[-1].accepted

    @property
    def has_ended(self) -> bool:
        """Whether it was accepted or given up on."""
        return self._ended.done()

    def wait(self, seconds: float | None = None) -> "SlackDelivery":
        """Wait in this thread until the delivery has ended.

        Raises:
            TimeoutError: It has not ended in time.
        """
        try:
            self._ended.result(seconds)
        except FutureTimeoutError:
            raise TimeoutError(f"Slack has not ended this after {seconds:g} s: {self!r}") from None
        return self

    def __await__(self) -> Generator[Any, None, "SlackDelivery"]:
        # Shielded: cancelling one who waits does not end what others wait for.
        yield from asyncio.shield(asyncio.wrap_future(self._ended)).__await__()
        return self

    def __repr__(self) -> str:
        state = "accepted" if self.accepted else "given up" if self.has_ended else "on its way"
        return f"<SlackDelivery of {self.payload.get('type')!r}: {state} after {len(self.attempts)} attempts>"

    def end(self) -> None:
        """Say that nothing more will be sent."""
        if not self._ended.done():
            self._ended.set_result(None)


type Answer = dict[str, Any] | Callable[[SlackCall], dict[str, Any]]
"""A method's answer: a body, or a function of the call that makes one."""
