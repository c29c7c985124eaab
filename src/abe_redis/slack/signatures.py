"""Whether a request is Slack's: https://docs.slack.dev/authentication/verifying-requests-from-slack."""

import hashlib
import hmac
import re
from collections.abc import Sequence
from typing import Literal

from abe_redis.errors import SettingsError
from abe_redis.settings import Settings

WINDOW_SECONDS = 300
"""Most seconds between a request's time and ours; beyond that it may be a recorded request."""

_SIGNATURE = re.compile(r"v0=[0-9a-f]{64}")
_TIMESTAMP = re.compile(r"[0-9]{1,12}")

type Flaw = Literal["no signature", "bad signature", "stale"]


def secrets_of(settings: Settings) -> list[bytes]:
    """The signing secrets; any of them is accepted, because Slack may use either during a replacement.

    Raises:
        SettingsError: There is none.
    """
    given = settings.slack_signing_secret
    found = [one.strip() for one in given.get_secret_value().split(",")] if given else []
    if not any(found):
        raise SettingsError(
            "SLACK_SIGNING_SECRET is not set: without it nobody can tell Slack's requests from others'. It "
            'is on your app\'s page "Basic Information"; while you rotate it, give both with a comma between.'
        )
    return [one.encode() for one in found if one]


def flaw_of_head(signature: str | None, timestamp: str | None, *, now: float) -> Flaw | None:
    """The fault that a request's head shows already, whatever its body is; None when it shows none.

    Args:
        signature: The header `X-Slack-Signature`.
        timestamp: The header `X-Slack-Request-Timestamp`.
        now: The time.
    """
    if not signature or not timestamp:
        return "no signature"
    if not (_SIGNATURE.fullmatch(signature) and _TIMESTAMP.fullmatch(timestamp)):
        return "bad signature"
    return "stale" if abs(now - int(timestamp)) > WINDOW_SECONDS else None


def flaw_in(
    body: bytes, signature: str | None, timestamp: str | None, *, secrets: Sequence[bytes], now: float
) -> Flaw | None:
    """The fault of a request's signature; None when it is Slack's.

    Args:
        body: The body as it came.
        signature: The header `X-Slack-Signature`.
        timestamp: The header `X-Slack-Request-Timestamp`.
        secrets: The app's.
        now: The time.
    """
    flaw = flaw_of_head(signature, timestamp, now=now)
    if flaw is not None or signature is None:
        return flaw
    signed = f"v0:{timestamp}:".encode() + body
    # All are compared, so that the time does not reveal which one matches.
    matches = [
        hmac.compare_digest(signature, "v0=" + hmac.new(one, signed, hashlib.sha256).hexdigest())
        for one in secrets
    ]
    return None if any(matches) else "bad signature"
