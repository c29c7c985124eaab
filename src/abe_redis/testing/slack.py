"""Events as Slack's Events API posts them, with all that real ones carry.

The shapes are those of https://docs.slack.dev/apis/events-api.
"""

import time
from typing import Any

from abe_redis.testing.parts import (
    APP,
    BOT,
    BOT_ID,
    CHANNEL,
    DIRECT_CHANNEL,
    TEAM,
    TOKEN,
    USER,
    blocks_of,
    next_number,
    timestamp,
)


def envelope(event: dict[str, Any], *, event_id: str | None = None, team: str = TEAM) -> dict[str, Any]:
    """The envelope that Slack posts around an event.

    Args:
        event: The event itself.
        event_id: Slack repeats it when it sends the event again; by default a new one.
        team: The workspace.
    """
    number = next_number()
    return {
        "token": TOKEN,
        "team_id": team,
        "context_team_id": team,
        "context_enterprise_id": None,
        "api_app_id": APP,
        "event": event,
        "type": "event_callback",
        "event_id": event_id or f"Ev{number:010d}",
        "event_time": int(float(event.get("event_ts") or time.time())),
        "authorizations": [
            {
                "enterprise_id": None,
                "team_id": team,
                "user_id": BOT,
                "is_bot": True,
                "is_enterprise_install": False,
            }
        ],
        "is_ext_shared_channel": False,
        "event_context": f"4-context-of-{number}",
    }


# Messages ----------------------------------------------------------------------------------------------


def message(
    text: str,
    *,
    user: str = USER,
    channel: str = CHANNEL,
    thread: str | None = None,
    ts: str | None = None,
) -> dict[str, Any]:
    """The envelope of a message in a channel; with `thread`, an answer to the message of that `ts`.

    With the `ts` and the text of an `app_mention`, it is the other event that Slack sends of that mention.
    """
    return envelope(_said(text, user, channel, thread, ts) | {"channel_type": _type_of(channel)})


def app_mention(
    text: str,
    *,
    user: str = USER,
    channel: str = CHANNEL,
    thread: str | None = None,
    ts: str | None = None,
) -> dict[str, Any]:
    """The envelope of a message that mentions the bot; the mention itself is put before the text."""
    said = _said(f"<@{BOT}> {text}", user, channel, thread, ts)
    return envelope(said | {"type": "app_mention"})


def direct_message(text: str, *, user: str = USER, channel: str = DIRECT_CHANNEL) -> dict[str, Any]:
    """The envelope of a message to the bot alone."""
    return envelope(_said(text, user, channel) | {"channel_type": "im"})


def message_changed(
    text: str, *, before: str, of: str, user: str = USER, channel: str = CHANNEL
) -> dict[str, Any]:
    """The envelope of an edit: what the message of that `ts` says now, and what it said before."""
    now = timestamp()
    was = _message(before, user, of)
    edited = {"user": user, "ts": f"{now.partition('.')[0]}.000000"}
    return envelope(
        _hidden("message_changed", channel, now)
        | {
            "message": was | {"text": text, "blocks": blocks_of(text), "edited": edited},
            "previous_message": was,
        }
    )


def message_deleted(text: str, *, of: str, user: str = USER, channel: str = CHANNEL) -> dict[str, Any]:
    """The envelope of a deletion: what the message of that `ts` said."""
    said = _message(text, user, of)
    return envelope(
        _hidden("message_deleted", channel, timestamp()) | {"deleted_ts": of, "previous_message": said}
    )


def bot_message(text: str, *, channel: str = CHANNEL, bot_id: str = BOT_ID) -> dict[str, Any]:
    """The envelope of a message that an app or an incoming webhook has posted, under no user."""
    now = timestamp()
    return envelope(
        {
            "type": "message",
            "subtype": "bot_message",
            "text": text,
            "username": "ci",
            "bot_id": bot_id,
            "app_id": "A0CIAPP01",
            "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": False}}],
            "ts": now,
            "channel": channel,
            "event_ts": now,
            "channel_type": _type_of(channel),
        }
    )


def file_share(
    text: str, *, name: str = "plan.pdf", user: str = USER, channel: str = CHANNEL
) -> dict[str, Any]:
    """The envelope of a message with a file."""
    said, file_id = _said(text, user, channel), f"F{next_number():010d}"
    file = {
        "id": file_id,
        "name": name,
        "title": name,
        "mimetype": "application/pdf",
        "filetype": "pdf",
        "user": user,
        "user_team": TEAM,
        "size": 2048,
        "mode": "hosted",
        "is_public": True,
        "url_private": f"https://files.slack.com/files-pri/{TEAM}-{file_id}/{name}",
        "shares": {"public": {channel: [{"ts": said["ts"], "team_id": TEAM}]}},
        "file_access": "visible",
    }
    more = {"subtype": "file_share", "files": [file], "upload": False, "channel_type": _type_of(channel)}
    return envelope(said | more)


def thread_broadcast(text: str, *, thread: str, user: str = USER, channel: str = CHANNEL) -> dict[str, Any]:
    """The envelope of an answer to the message of that `ts` that is sent to the channel as well."""
    root = _message("how is it going?", USER, thread) | {"thread_ts": thread, "reply_count": 1}
    return envelope(
        _said(text, user, channel, thread)
        | {"subtype": "thread_broadcast", "root": root, "channel_type": _type_of(channel)}
    )


# Reactions, the assistant, workflows -------------------------------------------------------------------


def reaction_added(
    reaction: str, *, to: str, user: str = USER, channel: str = CHANNEL, item_user: str = BOT
) -> dict[str, Any]:
    """The envelope of an emoji, without its colons, that a person put to the message of that `ts`."""
    return _reaction("reaction_added", reaction, to, user, channel, item_user)


def reaction_removed(
    reaction: str, *, to: str, user: str = USER, channel: str = CHANNEL, item_user: str = BOT
) -> dict[str, Any]:
    """The envelope of an emoji that a person took from the message of that `ts`."""
    return _reaction("reaction_removed", reaction, to, user, channel, item_user)


def assistant_thread_started(
    *, user: str = USER, channel: str = DIRECT_CHANNEL, looking_at: str = CHANNEL
) -> dict[str, Any]:
    """The envelope of a thread that a person opens with the assistant, while looking at a channel."""
    now = timestamp()
    thread = {
        "user_id": user,
        "context": {"channel_id": looking_at, "team_id": TEAM, "enterprise_id": None},
        "channel_id": channel,
        "thread_ts": now,
    }
    return envelope({"type": "assistant_thread_started", "assistant_thread": thread, "event_ts": now})


def function_executed(callback_id: str, inputs: dict[str, Any] | None = None) -> dict[str, Any]:
    """The envelope of a step of a workflow that the app is to carry out; `inputs` are what it is given."""
    number, now = next_number(), int(time.time())
    given = {"user_id": USER} if inputs is None else inputs
    kinds = {"user_id": "slack#/types/user_id", "channel_id": "slack#/types/channel_id"}
    parameters = [
        {"type": kinds.get(name, "string"), "name": name, "title": name, "is_required": True}
        for name in given
    ]
    function = {
        "id": f"Fn{number:09d}",
        "callback_id": callback_id,
        "title": callback_id,
        "description": "",
        "type": "app",
        "input_parameters": parameters,
        "output_parameters": [],
        "app_id": APP,
        "date_created": now,
        "date_updated": now,
        "date_deleted": 0,
        "form_enabled": False,
    }
    return envelope(
        {
            "type": "function_executed",
            "function": function,
            "inputs": given,
            "function_execution_id": f"Fx{number:09d}",
            "workflow_execution_id": f"Wx{number:09d}",
            "event_ts": timestamp(),
            "bot_access_token": "xwfp-of-nobody",
        }
    )


def app_rate_limited(*, team: str = TEAM) -> dict[str, Any]:
    """The payload when an app gets more events than Slack sends it in an hour."""
    minute = int(time.time()) // 60 * 60
    return {
        "token": TOKEN,
        "type": "app_rate_limited",
        "team_id": team,
        "minute_rate_limited": minute,
        "api_app_id": APP,
    }


def url_verification(
    challenge: str = "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P",
) -> dict[str, Any]:
    """The payload when a webhook's address is entered; the webhook has to answer the challenge."""
    return {"token": TOKEN, "challenge": challenge, "type": "url_verification"}


# ------------------------------------------------------------------------------------------------------


def _said(
    text: str, user: str, channel: str, thread: str | None = None, ts: str | None = None
) -> dict[str, Any]:
    now = ts or timestamp()
    said = _message(text, user, now) | {"channel": channel, "event_ts": now}
    return said if thread is None else said | {"thread_ts": thread, "parent_user_id": USER}


def _type_of(channel: str) -> str:
    """The type of a channel, as the first letter of its id says it."""
    return {"D": "im", "G": "group"}.get(channel[:1], "channel")


def _message(text: str, user: str, ts: str) -> dict[str, Any]:
    number = next_number()
    return {
        "type": "message",
        "user": user,
        "client_msg_id": f"00000000-0000-4000-8000-{number:012x}",
        "text": text,
        "ts": ts,
        "team": TEAM,
        "blocks": blocks_of(text),
    }


def _hidden(subtype: str, channel: str, now: str) -> dict[str, Any]:
    return {
        "type": "message",
        "subtype": subtype,
        "hidden": True,
        "channel": channel,
        "ts": now,
        "event_ts": now,
        "channel_type": _type_of(channel),
    }


def _reaction(kind: str, reaction: str, to: str, user: str, channel: str, item_user: str) -> dict[str, Any]:
    return envelope(
        {
            "type": kind,
            "user": user,
            "reaction": reaction,
            "item": {"type": "message", "channel": channel, "ts": to},
            "item_user": item_user,
            "event_ts": timestamp(),
        }
    )
