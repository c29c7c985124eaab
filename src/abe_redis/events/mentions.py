"""Mentions, each of which Slack sends as two events: an `app_mention` and a `message`.

Both have ids of their own and come in no order. With `REDIS_STREAM_MERGE_MENTIONS` the first of them is kept
and marked as both. What makes them the same is the message's place, `(channel, ts)`, which other events of
the same message have, too: so only what is certainly one of the two is merged. An `app_mention` of an edited
message has the `ts` of the original, which may have mentioned nobody, and is never merged; nor is a message
in which the app is not mentioned. Slack calls it no mention when the app names itself: what the app wrote, or
may have written, stays a message, or a bot that quotes its own name would answer itself for ever.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

from abe_redis.events import kinds
from abe_redis.events.identity import app_of, joined

TYPES = ("app_mention", "message")
"""The type of a merged event."""

_SUBTYPES = {"", "bot_message", "file_share", "thread_broadcast"}
"""Subtypes of a new message of which Slack sends an `app_mention`, too."""

_LONGEST_KEY = 200


class Mention(NamedTuple):
    """An event that has, or may have, a twin."""

    type: str
    """`app_mention` or `message`."""
    key: str
    """The same for both: the app, the channel and the message's `ts`."""

    def written(self) -> bytes:
        """As it stands in an entry's field `mention`."""
        return f"{self.type} {self.key}".encode()

    @classmethod
    def read(cls, field: bytes) -> Self:
        """Read the field that `written` made."""
        return cls(*field.decode().split(" ", 1))


def mention_in(payload: Mapping[str, Any]) -> Mention | None:
    """The mention of the app that an envelope is about; None when it is about none, or about an edit."""
    if not kinds.is_slack_envelope(payload):
        return None
    event = kinds.event_of(payload)
    if event.get("type") not in TYPES or event.get("edited") or event.get("hidden"):
        return None
    if not _is_of_another(payload, event):
        return None
    if event["type"] == "message" and not _mentions_the_app(payload, event):
        return None
    channel, ts = event.get("channel"), event.get("ts")
    if not (isinstance(channel, str) and channel and isinstance(ts, str) and ts):
        return None
    key = joined(app_of(payload), channel, ts)
    return Mention(event["type"], key) if len(key) <= _LONGEST_KEY and key.isascii() else None


def _is_of_another(payload: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether it certainly says that another than the app has written it.

    An envelope names the app's user of one installation; in a shared channel the app may have another one. So
    a bot has to say of which app it is. What an app posts for a person has the app's id, too.
    """
    user, profile = message.get("user"), message.get("bot_profile")
    of_bot = profile.get("app_id") if isinstance(profile, dict) else None
    apps = [app for app in (message.get("app_id"), of_bot) if app]
    if isinstance(user, str) and user in _users_of_the_app(payload):
        return False
    if message.get("bot_id") or apps:
        return bool(apps) and app_of(payload) not in ("", *apps)
    return isinstance(user, str) and user != ""


def _mentions_the_app(payload: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether a new message names one of the users that the app is, where Slack sends two events."""
    subtype = message.get("subtype") or ""
    is_direct = message.get("channel_type") == "im" or str(message.get("channel")).startswith("D")
    if not isinstance(subtype, str) or subtype not in _SUBTYPES or is_direct:
        return False
    bots = _users_of_the_app(payload)
    texts = [message.get("text"), *_marked_texts_in(message.get("blocks"))]
    if any(
        f"<@{bot}{end}" in text for text in texts if isinstance(text, str) for bot in bots for end in ">|"
    ):
        return True
    return any(bot in bots for bot in mentioned_in(message.get("blocks")))


def _users_of_the_app(payload: Mapping[str, Any]) -> set[str]:
    authorizations, of_old = payload.get("authorizations"), payload.get("authed_users")
    found = [
        one.get("user_id")
        for one in (authorizations if isinstance(authorizations, list) else [])
        if isinstance(one, dict) and one.get("is_bot") is not False
    ]
    if not authorizations:  # an old envelope; beside authorizations, these may be people
        found += of_old if isinstance(of_old, list) else []
    return {user for user in found if isinstance(user, str) and user}


def mentioned_in(blocks: object) -> Iterator[str]:
    """The users whom rich text mentions."""
    for one in _objects_in(blocks):
        if one.get("type") == "user" and isinstance(one.get("user_id"), str):
            yield one["user_id"]


def _marked_texts_in(blocks: object) -> Iterator[object]:
    """The texts in which Slack reads `<@U061F7AUR>` as a mention."""
    for one in _objects_in(blocks):
        if one.get("type") == "mrkdwn":
            yield one.get("text")


def _objects_in(value: object) -> Iterator[dict[str, Any]]:
    """Every object in JSON; without recursion, for it may be deep."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, list):
            left += one
        elif isinstance(one, dict):
            yield one
            left += [item for item in one.values() if isinstance(item, list | dict)]
