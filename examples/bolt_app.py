"""A Bolt app on the queue: it answers mentions, reactions and a command, and loses none of them.

    SLACK_BOT_TOKEN=xoxb-… SLACK_SIGNING_SECRET=… abe-redis worker bolt_app:app --group bot    # in examples/

Events come from `abe-redis listen`, from Slack MCP Server's webhook, or from your own `publish()`. Started
as a program, it needs no Slack and no Redis: it shows all that with a fake Slack and the embedded server.

    python examples/bolt_app.py

It needs the extra `bolt`; the program needs `embedded` as well, unless REDIS_URL is set.
"""

import os
import tempfile

import anyio
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

app = AsyncApp(
    client=AsyncWebClient(
        token=os.environ.get("SLACK_BOT_TOKEN", "xoxb-of-nobody"),
        base_url=os.environ.get("SLACK_API_URL", AsyncWebClient.BASE_URL),
    ),
    signing_secret=os.environ.get("SLACK_SIGNING_SECRET", "of-nobody"),
)


@app.event("app_mention")
async def answer(event, say, context) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Bolt's
    """Answer in the thread. What this raises is retried, and buried with its reason if it goes on failing."""
    if "fail once" in event["text"] and context["abe_redis_event"].deliveries == 1:
        raise RuntimeError("the first try fails")
    await say(f"Hello <@{event['user']}>!", thread_ts=event["ts"])


async def acknowledge(ack) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Bolt's
    """Ack without content: Slack was answered when the command was queued."""
    await ack()


async def deploy(respond, command) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001 - Bolt's
    """Work, and answer at the command's response_url."""
    await respond(f"{command['text']} is deployed.")


app.command("/deploy")(ack=acknowledge, lazy=[deploy])


async def show() -> None:
    """Publish some events, let a worker with this app handle them, and print what Slack was told."""
    from abe_redis import Backoff, EventWorker, RedisMessageQueueBackend, Settings  # noqa: PLC0415
    from abe_redis.bolt import BoltHandler  # noqa: PLC0415
    from abe_redis.testing import FakeSlack, app_mention, slash_command  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as directory:
        url = os.environ.get("REDIS_URL", f"embedded://{directory}")
        async with FakeSlack() as slack, RedisMessageQueueBackend(Settings(redis_url=url)) as backend:
            app.client.base_url = slack.api_url
            command = slash_command("/deploy", "web") | {"response_url": slack.response_url()}
            for payload in (app_mention("hello"), app_mention("fail once"), command):
                await backend.publish("slack_events", payload)
            worker = EventWorker(backend, BoltHandler(app), group="example", policy=Backoff(first=0.1))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(worker.run)
                answers = await slack.called("chat.postMessage", times=2)
                answers += await slack.called("response_url")
                await worker.shutdown()
    for call in answers:
        print(f"{call.method}: {call.arguments['text']}")


if __name__ == "__main__":
    anyio.run(show)
