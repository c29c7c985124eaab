"""`respond()` for a worker's listeners: a refusal raises an exception, as in every other call of Slack.

slack_sdk's webhook client returns the status instead, which nobody looks at.
"""

import inspect
import json
from collections.abc import Awaitable
from typing import Any

from slack_sdk.errors import SlackApiError

_OK = 200


class Respond:
    """Bolt's `respond`, sync or async, whose refusal is raised."""

    def __init__(self, inner: Any) -> None:  # noqa: ANN401 - either of Bolt's classes
        self._inner = inner

    def __call__(self, *positional: Any, **named: Any) -> Any:  # noqa: ANN401 - a WebhookResponse, or what gives one
        """Post to the `response_url`."""
        answer = self._inner(*positional, **named)
        return self._awaited(answer) if inspect.isawaitable(answer) else _checked(answer)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - of Bolt's class
        if name.startswith("_"):  # asked for while it is copied, when nothing is in it yet
            raise AttributeError(name)
        return getattr(self._inner, name)

    async def _awaited(self, answer: Awaitable[Any]) -> Any:  # noqa: ANN401 - a WebhookResponse
        return _checked(await answer)


class _Refusal(dict[str, Any]):
    """An answer as `SlackApiError` has it; the URL, which is a secret, is not in it."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401 - a WebhookResponse
        super().__init__(ok=False, error=_error_in(answer.body))
        self.status_code: int = answer.status_code
        self.headers: Any = answer.headers

    def __str__(self) -> str:
        return f"{self.status_code} {self['error']}"


def _checked(answer: Any) -> Any:  # noqa: ANN401 - a WebhookResponse
    if answer.status_code == _OK and _object(answer.body).get("ok") is not False:
        return answer
    refusal = _Refusal(answer)
    raise SlackApiError(f"respond() was refused with {refusal}", refusal)  # type: ignore[no-untyped-call]


def _error_in(body: str) -> str:
    """Slack's word for it: as JSON, or as it stands."""
    error = _object(body).get("error", body)
    return error if isinstance(error, str) and error.isidentifier() else "no_reason"


def _object(body: str) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
