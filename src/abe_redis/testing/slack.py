"""Events as Slack's Events API posts them, and the signature by which a webhook knows that it is Slack.

The shapes are those of https://api.slack.com/apis/events-api, the signature that of
https://api.slack.com/authentication/verifying-requests-from-slack.
"""

import hashlib
import hmac
import json
import time
from itertools import count
from typing import Any

TEAM, CHANNEL, USER, BOT, APP = "T061EG9R6", "C0LAN2Q65", "U061F7AUR", "U0LAN0Z89", "A0MDYCDME"
"""What makers use for a team, a channel, a person, the bot and its app; ids of Slack's own documentation."""

_numbers = count(1)


def envelope(event: dict[str, Any], *, event_id: str | None = None, team: str = TEAM) -> dict[str, Any]:
    """What Slack posts around an event.

    Args:
        event: The event itself.
        event_id: Slack repeats it when it sends the event again; by default a new one.
        team: The workspace.
    """
    return {
        "type": "event_callback",
        "team_id": team,
        "api_app_id": APP,
        "event": event,
        "event_id": event_id or f"Ev{next(_numbers):010d}",
        "event_time": int(float(event.get("event_ts") or time.time())),
        "authorizations": [{"enterprise_id": None, "team_id": team, "user_id": BOT, "is_bot": True}],
    }


def message(
    text: str, *, user: str = USER, channel: str = CHANNEL, thread: str | None = None
) -> dict[str, Any]:
    """The envelope of a message in a channel; with `thread`, an answer to the message of that `ts`."""
    return envelope(_said("message", text, user, channel, thread) | {"channel_type": "channel"})


def app_mention(
    text: str, *, user: str = USER, channel: str = CHANNEL, thread: str | None = None
) -> dict[str, Any]:
    """The envelope of a message that mentions the bot; the mention itself is put before the text."""
    return envelope(_said("app_mention", f"<@{BOT}> {text}", user, channel, thread))


def reaction_added(reaction: str, *, to: str, user: str = USER, channel: str = CHANNEL) -> dict[str, Any]:
    """The envelope of an emoji, without its colons, that a person put to the message of that `ts`."""
    return envelope(
        {
            "type": "reaction_added",
            "user": user,
            "reaction": reaction,
            "item": {"type": "message", "channel": channel, "ts": to},
            "event_ts": _timestamp(),
        }
    )


def url_verification(
    challenge: str = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
) -> dict[str, Any]:
    """What Slack posts when a webhook's address is entered; the webhook has to answer the challenge."""
    return {"type": "url_verification", "challenge": challenge}


def signed(
    payload: dict[str, Any], signing_secret: str, *, at: float | None = None
) -> tuple[bytes, dict[str, str]]:
    """A request as Slack signs it.

    Args:
        payload: What is posted.
        signing_secret: The app's.
        at: When, as a Unix time; webhooks refuse what is older than five minutes.

    Returns:
        The body and the headers.
    """
    body = json.dumps(payload, separators=(",", ":")).encode()
    timestamp = str(int(time.time() if at is None else at))
    digest = hmac.new(signing_secret.encode(), f"v0:{timestamp}:".encode() + body, hashlib.sha256)
    return body, {
        "Content-Type": "application/json",
        "X-Slack-Request-Timestamp": timestamp,
        "X-Slack-Signature": f"v0={digest.hexdigest()}",
    }


def _said(kind: str, text: str, user: str, channel: str, thread: str | None) -> dict[str, Any]:
    now = _timestamp()
    said = {"type": kind, "user": user, "text": text, "ts": now, "channel": channel, "event_ts": now}
    return said if thread is None else said | {"thread_ts": thread}


def _timestamp() -> str:
    """Slack's `ts`: the time, with six digits that make it the message's id in its channel."""
    return f"{int(time.time())}.{next(_numbers) % 1_000_000:06d}"
