"""One dispatch of an event through a Bolt app: what failed in it, and what is left to run."""

import inspect
import logging
import traceback
from collections.abc import Callable, Mapping
from typing import Any

from slack_bolt.error import BoltUnhandledRequestError
from slack_bolt.response import BoltResponse

from abe_redis.errors import FailedAnswerError, NotAuthorizedError
from abe_redis.events.event import Event
from abe_redis.sanitize.exceptions import describe
from abe_redis.slack.bolt.only_while_posting import refuse_answer
from abe_redis.worker.handlers import name_of
from abe_redis.worker.threads import current_slot

_LOG = logging.getLogger(__name__)

FAILED = 500
"""The least status of an answer by which an app says that it failed: Slack sends an event again."""


_SHOWN = range(200, 300)
"""The statuses of answers whose content Slack shows."""


class Answer(BoltResponse):
    """The response that an `@app.error` handler gets; it shows whether the app says that it failed."""

    def __init__(self) -> None:
        super().__init__(status=FAILED)
        self.asks_for_retry = False

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401 - any attribute
        super().__setattr__(name, value)
        if name == "status" and "asks_for_retry" in vars(self):
            self.asks_for_retry = isinstance(value, int) and value >= FAILED


class Attempt:
    """The dispatch of one event, which the parts of a private app report to."""

    def __init__(self, event: Event, body: Mapping[str, Any]) -> None:
        self.event = event
        self.body = body
        self.failure: BaseException | None = None
        """The first exception that nobody answered for."""
        self.was_answered = False
        """Whether an `@app.error` handler answered for an exception."""
        self.swallowed: Exception | None = None
        """The last exception that Bolt's authorization turns into an answer."""
        self.lazy: list[tuple[Callable[..., Any], Any]] = []
        """Lazy listeners that are to run, each with its request."""

    @staticmethod
    def begin(function: Callable[..., Any] | None) -> None:
        """Note which of the app's functions is at work; None: none of its listeners."""
        if (slot := current_slot()) is not None:
            slot.function = None if function is None else name_of(function)

    def fail(self, error: BaseException, function: Callable[..., Any] | None = None) -> None:
        """Note an exception, and the function that raised it; the first is the attempt's failure."""
        if self.failure is None:
            self.failure = error
            if function is not None:
                self.begin(function)
        elif error is not self.failure:
            _LOG.warning("%s failed as well, with %s.", self, describe(error))

    def answered_for(self, error: Exception, answer: Answer) -> None:
        """Note that an `@app.error` handler returned."""
        if answer.asks_for_retry:
            self.fail(error)
            return
        self.was_answered = True
        _LOG.warning(
            "The @app.error handler of the Bolt app answered for %s, which failed with %s: the event counts "
            "as done. A handler that raises passes the failure on to the retries.",
            self,
            describe(error),
        )

    def not_authorized(self) -> None:
        """Note that authorization ended the dispatch."""
        team = self.body.get("team_id") or (self.body.get("team") or {}).get("id")
        self.fail(
            self.swallowed
            or NotAuthorizedError(
                f"The Bolt app found no installation for the workspace {team!r}: its authorize function "
                "or installation store returned None, so no listener ran. Install the app there, or mend "
                "the store."
            )
        )

    def check(self, response: Any) -> None:  # noqa: ANN401 - whatever a middleware returned
        """Look at the dispatch's answer.

        Raises:
            BaseException: What failed in it; the worker makes a failure of one that ends programs.
        """
        if self.failure is not None:
            raise self.failure
        if not self.was_answered:
            self._check_answer(response)

    def _check_answer(self, response: Any) -> None:  # noqa: ANN401 - whatever a middleware returned
        if not isinstance(response, BoltResponse):
            if inspect.iscoroutine(response):
                response.close()  # which nobody awaits
            raise TypeError(
                f"A middleware of the Bolt app returned a {type(response).__name__}, which is no "
                "BoltResponse, and nothing ran behind it. An App of slack_bolt calls plain functions: write "
                "it with def, or make the app an AsyncApp."
            )
        if response.status >= FAILED:
            status = response.status
            raise FailedAnswerError(
                f"The Bolt app answered with status {status}, by which it says that it failed."
            )
        if self.is_lost(response):
            refuse_answer("A middleware answered with content")

    def is_lost(self, response: BoltResponse) -> bool:
        """Whether an answer has content that Slack would show, and no longer gets."""
        return has_content(response) and not self.is_event and response.status in _SHOWN

    @property
    def is_event(self) -> bool:
        """Whether it is an event; Slack ignores the content of an ack for events."""
        return self.body.get("type") == "event_callback"

    def __str__(self) -> str:
        return f"event {self.event.id} of {self.event.stream!r}"


def has_content(response: BoltResponse) -> bool:
    """Whether an answer says anything: `ack({})`, for one, does not."""
    return response.body not in {"", "{}"}


def is_unmatched(error: Exception) -> bool:
    """Whether no listener is for the event, which is no failure: `raise_error_for_unhandled_request`."""
    if not isinstance(error, BoltUnhandledRequestError):
        return False
    raised_in = [str(frame.f_globals.get("__name__")) for frame, _ in traceback.walk_tb(error.__traceback__)]
    return raised_in[-1].startswith("slack_bolt.")  # a listener's own is a failure
