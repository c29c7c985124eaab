"""Asking a user who does not answer."""

from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from abe_redis.errors import RequestError
from abe_redis.mcp import consent
from abe_redis.mcp.consent import Consent


@pytest.mark.promise("the answer counts once, within ten minutes")
async def test_who_does_not_answer_in_time_agrees_to_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a protocol that asks in the middle of a call, on either line of the SDK."""
    monkeypatch.setattr(consent, "_VALID_SECONDS", 0.06)

    async def elicit(**_: Any) -> Any:
        await anyio.sleep(0.5)
        return SimpleNamespace(action="accept", data=SimpleNamespace(agreed=True))

    async def question() -> Any:
        return SimpleNamespace(words="Redrive 3?", events=frozenset())

    context = SimpleNamespace(
        elicit=elicit,
        protocol_version="2025-11-25",
        client_capabilities=SimpleNamespace(elicitation=SimpleNamespace(form={}, url=None)),
        request_context=SimpleNamespace(
            session=SimpleNamespace(check_client_capability=lambda _: True),
        ),
    )
    with pytest.raises(RequestError, match=r"did not answer within 0[.]001 minutes, so nothing was done"):
        await Consent().ask(context, question, None, ["redrive"], confirmed=True)
