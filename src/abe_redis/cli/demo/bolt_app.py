"""The demo's Bolt app, as anybody writes one: `abe-redis worker abe_redis.cli.demo.bolt_app:app` runs it."""

import os
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

app = AsyncApp(
    client=AsyncWebClient(token="xoxb-of-nobody", base_url=os.environ["DEMO_SLACK"]),  # noqa: S106 - the demo's
    signing_secret="of-nobody",  # noqa: S106 - the door checks signatures
)


@app.event("app_mention")
async def answer(event: dict[str, Any], say: Any, context: Any) -> None:  # noqa: ANN401 - Bolt's
    """Fail at the first delivery, and answer in the thread at the second."""
    deliveries = context["abe_redis_event"].deliveries
    if deliveries == 1:
        raise RuntimeError("the model is overloaded")
    await say(f"Hello <@{event['user']}>, at delivery {deliveries}!", thread_ts=event["ts"])


async def acknowledge(ack: Any) -> None:  # noqa: ANN401 - Bolt's
    """Ack without content: Slack was answered when the command was queued."""
    await ack()


async def deploy(respond: Any, command: dict[str, Any]) -> None:  # noqa: ANN401 - Bolt's
    """Answer the command when the work is done."""
    await respond(f"{command['text']} is deployed.")


app.command("/deploy")(ack=acknowledge, lazy=[deploy])
