"""What Slack posts as a form: actions, views and commands, with all that real ones carry.

The shapes are those of https://docs.slack.dev/interactivity.
"""

import time
from typing import Any

from abe_redis.testing.parts import APP, BOT, BOT_ID, CHANNEL, TEAM, TOKEN, USER, next_number, timestamp


def block_actions(
    action_id: str,
    *,
    value: str = "",
    user: str = USER,
    channel: str = CHANNEL,
    to: str | None = None,
    thread: str | None = None,
) -> dict[str, Any]:
    """The payload when a person presses a button of the bot's message (that of the `ts` in `to`)."""
    ts = to or timestamp()
    label = {"type": "plain_text", "text": action_id, "emoji": True}
    button = {"type": "button", "action_id": action_id, "text": label, "value": value}
    in_thread = {} if thread is None else {"thread_ts": thread}
    return _action("block_actions", user) | {
        "container": {
            "type": "message",
            "message_ts": ts,
            "channel_id": channel,
            "is_ephemeral": False,
        }
        | in_thread,
        "channel": {"id": channel, "name": "general"},
        "message": {
            "user": BOT,
            "type": "message",
            "ts": ts,
            "bot_id": BOT_ID,
            "app_id": APP,
            "text": "choose",
            "team": TEAM,
            "blocks": [{"type": "actions", "block_id": "b1", "elements": [button]}],
        }
        | in_thread,
        "state": {"values": {}},
        "response_url": f"https://hooks.slack.com/actions/{TEAM}/1/of-nobody",
        "actions": [button | {"block_id": "b1", "action_ts": timestamp()}],
    }


def view_submission(
    callback_id: str, values: dict[str, Any] | None = None, *, user: str = USER
) -> dict[str, Any]:
    """The payload when a person submits a modal; `values` are the texts in its inputs by their names."""
    number = next_number()
    state = {
        name: {name: {"type": "plain_text_input", "value": value}} for name, value in (values or {}).items()
    }
    label = {"type": "plain_text", "text": callback_id, "emoji": True}
    return _action("view_submission", user) | {
        "view": {
            "id": f"V{number:010d}",
            "team_id": TEAM,
            "type": "modal",
            "blocks": [
                {
                    "type": "input",
                    "block_id": name,
                    "label": {"type": "plain_text", "text": name, "emoji": True},
                    "optional": False,
                    "element": {"type": "plain_text_input", "action_id": name},
                }
                for name in state
            ],
            "private_metadata": "",
            "callback_id": callback_id,
            "state": {"values": state},
            "hash": f"{int(time.time())}.{number:08x}",
            "title": label,
            "clear_on_close": False,
            "notify_on_close": False,
            "close": None,
            "submit": {"type": "plain_text", "text": "Send", "emoji": True},
            "previous_view_id": None,
            "root_view_id": f"V{number:010d}",
            "app_id": APP,
            "external_id": "",
            "app_installed_team_id": TEAM,
            "bot_id": BOT_ID,
        },
        "response_urls": [],
    }


def slash_command(
    command: str, text: str = "", *, user: str = USER, channel: str = CHANNEL
) -> dict[str, Any]:
    """The payload when a person uses a command, as in `slash_command("/deploy", "web")`."""
    number = next_number()
    return {
        "token": TOKEN,
        "team_id": TEAM,
        "team_domain": "example",
        "channel_id": channel,
        "channel_name": "general",
        "user_id": user,
        "user_name": "ann",
        "command": command,
        "text": text,
        "api_app_id": APP,
        "is_enterprise_install": "false",
        "response_url": f"https://hooks.slack.com/commands/{TEAM}/{number}/of-nobody",
        "trigger_id": f"{number}.1.of-nobody",
    }


def _action(kind: str, user: str) -> dict[str, Any]:
    return {
        "type": kind,
        "user": {"id": user, "username": "ann", "name": "ann", "team_id": TEAM},
        "api_app_id": APP,
        "token": TOKEN,
        "trigger_id": f"{next_number()}.1.of-nobody",
        "team": {"id": TEAM, "domain": "example"},
        "enterprise": None,
        "is_enterprise_install": False,
    }
