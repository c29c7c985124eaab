"""A Slack envelope to publish."""

from typing import Any


def envelope(number: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "type": "event_callback",
        "token": "the-verification-token",
        "event_id": f"Ev{number}",
        "event": {"type": "message", "text": str(number)},
    } | more
