"""`respond()` for a worker's listeners: a refusal raises an exception, as in every other call of Slack.

slack_sdk's webhook client returns the status instead, which nobody looks at.
"""

import json
from typing import Any

from slack_sdk.errors import SlackApiError

_OK = 200


def checked(answer: Any) -> Any:  # noqa: ANN401 - a WebhookResponse
    """The same answer.

    Raises:
        SlackApiError: It is a refusal.
    """
    if answer.status_code == _OK and _object(answer.body).get("ok") is not False:
        return answer
    refusal = _Refusal(answer)
    raise SlackApiError(f"respond() was refused with {refusal}", refusal)  # type: ignore[no-untyped-call]


class _Refusal(dict[str, Any]):
    """An answer as `SlackApiError` has it; the URL, which is a secret, is not in it."""

    def __init__(self, answer: Any) -> None:  # noqa: ANN401 - a WebhookResponse
        super().__init__(ok=False, error=_error_in(answer.body))
        self.status_code: int = answer.status_code
        self.headers: Any = answer.headers

    def __str__(self) -> str:
        return f"{self.status_code} {self['error']}"


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
