"""Asking the user, if the client can: on both lines of the SDK, and in both eras of the protocol.

Until 2025-11-25 a server asks in the middle of a call. Since 2026-07-28 the call ends with a question, and
the client makes it again with the answer. An answer counts once: for this caller, this call, and the events
that the question was about.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import anyio
from pydantic import BaseModel, Field

from abe_redis.errors import RequestError
from abe_redis.mcp.client_identity import WITHOUT_SESSIONS, Identity
from abe_redis.mcp.questions import Question
from abe_redis.mcp.sdk_line import SDK_2
from abe_redis.operations.caller_limits import Named
from abe_redis.runtime import clock

_LOG = logging.getLogger(__name__)

_NAME = "agreement"

_MOST_OPEN = 1000
"""Most questions that wait for an answer; beyond that, the oldest one is dropped and asked again."""
_VALID_SECONDS = 600.0


class Agreement(BaseModel):
    """The form that the user fills in."""

    agreed: bool = Field(description="Whether to go ahead.", strict=True)


@dataclass(frozen=True, slots=True)
class _Open:
    """A question that waits for its answer."""

    caller: Identity | None
    call: object
    question: Question
    until: float


class Consent:
    """The questions to the users of one server, and their answers."""

    def __init__(self) -> None:
        self._open: OrderedDict[str, _Open] = OrderedDict()
        """By a token that is good for one answer."""
        self._refused: OrderedDict[tuple[Identity | None, str], _Open] = OrderedDict()
        """The last question of a caller that cannot ask, by the caller and the tool: what it was refused."""

    async def ask(
        self,
        context: Any,  # noqa: ANN401 - of either SDK line
        find_question: Callable[[], Awaitable[Question | None]],
        caller: Identity | None,
        call: Sequence[object],
        *,
        confirmed: bool,
    ) -> Any:  # noqa: ANN401 - see below
        """Ask the user, if there is something to ask.

        Args:
            context: The SDK's context of the call.
            find_question: Finds the question, or that there is none.
            caller: Who makes the call.
            call: The call that the question is about, first its tool; an answer to another call does not
                count.
            confirmed: Whether the call says that the user has agreed, which counts for a client that cannot
                ask; after a refusal it counts for the events that the refusal named, and for no others.

        Returns:
            The events that the user agreed about; None when nobody did; or the result of the call
            that makes the client ask and call again.

        Raises:
            RequestError: The user did not agree, or the client gave no valid answer.
        """
        asks_later = SDK_2 and (_protocol(context) or "") >= WITHOUT_SESSIONS and _can_ask(context)
        if asks_later and (answered := self._answered(context, caller, call)) is not None:
            agreed, question = answered
        elif (found := await find_question()) is None:
            return None
        elif asks_later:
            return self._question(found, caller, call)
        elif _can_ask(context):
            agreed, question = await _answered_meanwhile(context, found.words), found
        else:
            return self._confirmed(found, caller, call) if confirmed else self._refuse(found, caller, call)
        if not agreed:
            raise RequestError("The user did not agree, so nothing was done. Ask them what to do instead.")
        return question.events

    def _refuse(self, question: Question, caller: Identity | None, call: Sequence[object]) -> None:
        """Say what the user has to agree to, and remember which events that names.

        Raises:
            RequestError: Always.
        """
        key = caller, str(call[0])
        self._refused[key] = _Open(caller, call, question, clock.now() + _VALID_SECONDS)
        self._refused.move_to_end(key)
        while len(self._refused) > _MOST_OPEN:
            self._refused.popitem(last=False)
        raise RequestError(
            f"Nothing was done: this needs the user's agreement. {question.words} Ask them, and when they "
            "agree, call again with confirm=true, which counts for these events alone."
        )

    def _confirmed(
        self, question: Question, caller: Identity | None, call: Sequence[object]
    ) -> frozenset[Named]:
        """The events that the user has agreed about, as the model says.

        Raises:
            RequestError: They are others than those that a refusal named, or it was about something else.
        """
        refused = self._refused.pop((caller, str(call[0])), None)
        if refused is None or refused.until < clock.now():
            return question.events
        others = refused.question
        if others.doing != question.doing or question.events.isdisjoint(others.events):
            self._refuse(question, caller, call)
        return question.events & others.events

    def _answered(
        self,
        context: Any,  # noqa: ANN401 - of one line only
        caller: Identity | None,
        call: object,
    ) -> tuple[bool, Question] | None:
        """The answer that a call brings, with its question; None if it brings none that counts."""
        answer: Any = (context.input_responses or {}).get(_NAME)
        asked = self._open.pop(context.request_state or "", None) if answer is not None else None
        if asked is None or (asked.caller, asked.call) != (caller, call) or asked.until < clock.now():
            return None
        content = getattr(answer, "content", None) or {}
        return answer.action == "accept" and content.get("agreed") is True, asked.question

    def _question(self, question: Question, caller: Identity | None, call: object) -> Any:  # noqa: ANN401 - as above
        from mcp_types import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
            ElicitRequest,
            ElicitRequestFormParams,
            InputRequiredResult,
        )

        token = secrets.token_urlsafe()
        self._open[token] = _Open(caller, call, question, clock.now() + _VALID_SECONDS)
        while len(self._open) > _MOST_OPEN:
            self._open.popitem(last=False)
        form = ElicitRequestFormParams(message=question.words, requested_schema=Agreement.model_json_schema())
        return InputRequiredResult(input_requests={_NAME: ElicitRequest(params=form)}, request_state=token)


async def _answered_meanwhile(context: Any, words: str) -> bool:  # noqa: ANN401 - of either line
    try:
        with anyio.fail_after(_VALID_SECONDS):
            result = await context.elicit(message=words, schema=Agreement)
    except TimeoutError:
        raise RequestError(
            f"The user did not answer within {_VALID_SECONDS / 60:g} minutes, so nothing was done; a later "
            "answer does not count. Call again when they are there."
        ) from None
    except Exception as error:  # noqa: BLE001 - an error of the client, no content, or content that does not fit
        _LOG.warning("The client gave no valid answer to the question for the user: %s", error)
        raise RequestError(
            "The user had to be asked, but the client gave no answer that can be understood, so nothing was "
            "done. Tell the user, who can do it on the command line."
        ) from None
    return bool(result.action == "accept" and result.data.agreed is True)


def _protocol(context: Any) -> str | None:  # noqa: ANN401 - of one line only
    version: str | None = context.protocol_version
    return version


def _can_ask(context: Any) -> bool:  # noqa: ANN401 - of either line
    try:
        if not SDK_2:
            from mcp.types import ClientCapabilities, ElicitationCapability  # noqa: PLC0415

            wanted = ClientCapabilities(elicitation=ElicitationCapability())
            return bool(context.request_context.session.check_client_capability(wanted))
        capabilities = context.client_capabilities
    except ValueError:  # outside of a request
        return False
    found = capabilities.elicitation if capabilities is not None else None
    return found is not None and (found.form is not None or found.url is None)
