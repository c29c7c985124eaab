"""What a bot's own tests need: a queue without a server, Slack's payloads, a fake Slack, a real server.

The fixtures of the pytest plugin (`abe_redis_backend`, `abe_redis_url`) are there wherever pytest is.
"""

from abe_redis.testing.fake_slack.fake import FakeSlack
from abe_redis.testing.fake_slack.records import SlackAttempt, SlackCall, SlackDelivery
from abe_redis.testing.memory import Buried, InMemoryBackend
from abe_redis.testing.signing import signed, signed_form
from abe_redis.testing.slack import (
    app_mention,
    app_rate_limited,
    assistant_thread_started,
    bot_message,
    direct_message,
    envelope,
    file_share,
    function_executed,
    message,
    message_changed,
    message_deleted,
    reaction_added,
    reaction_removed,
    thread_broadcast,
    url_verification,
)
from abe_redis.testing.slack_forms import block_actions, slash_command, view_submission

__all__ = [
    "Buried",
    "FakeSlack",
    "InMemoryBackend",
    "SlackAttempt",
    "SlackCall",
    "SlackDelivery",
    "app_mention",
    "app_rate_limited",
    "assistant_thread_started",
    "block_actions",
    "bot_message",
    "direct_message",
    "envelope",
    "file_share",
    "function_executed",
    "message",
    "message_changed",
    "message_deleted",
    "reaction_added",
    "reaction_removed",
    "signed",
    "signed_form",
    "slash_command",
    "thread_broadcast",
    "url_verification",
    "view_submission",
]
