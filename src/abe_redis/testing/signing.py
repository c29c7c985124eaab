"""Requests as Slack signs them, by which a webhook knows that it is Slack.

The signature is that of https://docs.slack.dev/authentication/verifying-requests-from-slack.
"""

import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import urlencode


def signed(
    payload: dict[str, Any], signing_secret: str, *, at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """A request as Slack signs it, for what it posts as JSON: envelopes and notices.

    Args:
        payload: What is posted.
        signing_secret: The app's.
        at: When, as a Unix time; webhooks refuse what is older than five minutes.

    Returns:
        The body and the headers.
    """
    body = json.dumps(payload, separators=(",", ":")).encode()
    return body, _headers(body, "application/json", signing_secret, at)


def signed_form(
    payload: dict[str, Any], signing_secret: str, *, at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """A request as Slack signs it, for what it posts as a form: commands, actions and views.

    Args:
        payload: What is posted: a command's fields, or what the form's field `payload` holds.
        signing_secret: The app's.
        at: When, as a Unix time.

    Returns:
        The body and the headers.
    """
    fields = payload if "command" in payload else {"payload": json.dumps(payload, separators=(",", ":"))}
    body = urlencode(fields).encode()
    return body, _headers(body, "application/x-www-form-urlencoded", signing_secret, at)


def _headers(body: bytes, content_type: str, signing_secret: str, at: float | None) -> dict[str, str]:
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(signing_secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256)
    return {
        "Content-Type": content_type,
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest.hexdigest()}",
    }
