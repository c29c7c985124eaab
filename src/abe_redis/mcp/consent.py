"""Asking the user, if the client can: on both lines of the SDK, and in both eras of the protocol.

Until 2025-11-25 a server asks in the middle of a call. Since 2026-07-28 the call ends with a question, and
the client makes it again with the answer.
"""

import hashlib
import json
import logging
from typing import Any

from pydantic import BaseModel, Field

from abe_redis.errors import RequestError
from abe_redis.mcp.compat.sdk_line import SDK_2

_LOG = logging.getLogger(__name__)

_ERA = "2026-07-28"
_NAME = "agreement"


class Agreement(BaseModel):
    """The form that the user fills in."""

    agreed: bool = Field(description="Whether to go ahead.")


async def ask(context: Any, question: str, call: object) -> Any:  # noqa: ANN401 - see below
    """Ask the user.

    Args:
        context: The SDK's context of the call.
        question: The question.
        call: The call that the question is about, as JSON; an answer to another call does not count.

    Returns:
        True when the user agreed; None when the client cannot ask; or the result of the call that makes the
        client ask and call again.

    Raises:
        RequestError: The user did not agree, or the client gave no valid answer.
    """
    if not _can_ask(context):
        return None
    if SDK_2 and (context.protocol_version or "") >= _ERA:
        agreed = _answered(context, question, call)
    else:
        agreed = await _answered_meanwhile(context, question)
    if agreed is False:
        raise RequestError("The user did not agree, so nothing was done. Ask them what to do instead.")
    return agreed


async def _answered_meanwhile(context: Any, question: str) -> bool:  # noqa: ANN401 - of either line
    try:
        result = await context.elicit(message=question, schema=Agreement)
    except Exception as error:  # noqa: BLE001 - an error of the client, no content, or content that does not fit
        _LOG.warning("The client gave no valid answer to the question for the user: %s", error)
        raise RequestError(
            "The user was to be asked, but the client gave no answer that can be understood, so nothing was "
            "done. Tell the user, who can do it with the command line."
        ) from None
    return bool(result.action == "accept" and result.data.agreed)


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


def _answered(context: Any, question: str, call: object) -> Any:  # noqa: ANN401 - of one line only
    from mcp_types import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
        ElicitRequest,
        ElicitRequestFormParams,
        InputRequiredResult,
    )

    digest = hashlib.sha256(json.dumps([question, call], sort_keys=True).encode()).hexdigest()
    answer = (context.input_responses or {}).get(_NAME)
    if answer is not None and context.request_state == digest:
        content = answer.content or {}
        return answer.action == "accept" and content.get("agreed") is True
    form = ElicitRequestFormParams(message=question, requested_schema=Agreement.model_json_schema())
    return InputRequiredResult(input_requests={_NAME: ElicitRequest(params=form)}, request_state=digest)
