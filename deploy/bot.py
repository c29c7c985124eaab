"""A bot to begin with: it answers when it is mentioned, in the thread of the mention.

    SLACK_BOT_TOKEN=xoxb-... abe-redis worker bot:handle --group bot

If Slack cannot be reached, the exception lets the event be delivered again. An event may come twice (see
docs/delivery.md), and so may its answer.
"""

import os
from typing import Any

from slack_sdk.web.async_client import AsyncWebClient

SLACK = AsyncWebClient(
    os.environ["SLACK_BOT_TOKEN"], base_url=os.environ.get("SLACK_API_URL", AsyncWebClient.BASE_URL)
)


async def handle(event: dict[str, Any]) -> None:
    """Answer a mention; anything else needs no answer, least of all what a bot said."""
    match event:
        case {"bot_id": str()}:
            pass
        case {"type": "app_mention", "channel": str(channel), "ts": str(ts), "user": str(user)}:
            thread = event.get("thread_ts") or ts
            await SLACK.chat_postMessage(channel=channel, thread_ts=thread, text=f"<@{user}> got it.")
