"""Payloads of the shapes that Slack sends, made for these tests."""

from typing import Any

TEAM, CHANNEL, USER, APP = "T0HOME", "C0ROOM", "U0ANN", "A0BOT"


def envelope(event: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What Slack posts around an event."""
    return {
        "type": "event_callback",
        "token": "verification",
        "team_id": TEAM,
        "api_app_id": APP,
        "event_id": "Ev0",
        "authorizations": [{"team_id": TEAM, "user_id": "U0BOT", "is_bot": True}],
        "event": event,
    } | more


def action(kind: str, **more: Any) -> dict[str, Any]:
    """What Slack posts when somebody uses something interactive."""
    return {
        "type": kind,
        "token": "verification",
        "team": {"id": TEAM, "domain": "home"},
        "user": {"id": USER, "username": "ann", "team_id": TEAM},
        "api_app_id": APP,
        "trigger_id": "1.2.abc",
    } | more


def command(**more: Any) -> dict[str, Any]:
    """What Slack posts when somebody uses a slash command."""
    return {
        "token": "verification",
        "team_id": TEAM,
        "team_domain": "home",
        "channel_id": CHANNEL,
        "channel_name": "room",
        "user_id": USER,
        "user_name": "ann",
        "command": "/deploy",
        "text": "web",
        "response_url": "https://hooks.slack.com/commands/1/2/3",
        "trigger_id": "1.2.abc",
    } | more
