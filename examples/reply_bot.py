"""A bot that answers when it is mentioned, in the thread of the mention.

    SLACK_BOT_TOKEN=xoxb-... python examples/reply_bot.py     # behind Slack MCP Server's webhook
    python examples/reply_bot.py --stand-in                   # without Slack: shows what Slack would get
    REDIS_URL=embedded:///tmp/example python examples/reply_bot.py --stand-in     # and without a Redis

SLACK_API_URL names another address in place of https://slack.com/api/. To mention the bot yourself, from
another terminal (with the same REDIS_URL):

    abe-redis publish '{"type": "app_mention", "channel": "C1", "user": "U1", "ts": "1.5", "text": "hi"}'

It needs the extra "slack". Ctrl-C ends it. The first run answers every mention in the stream. If
the bot fails or dies, the mention is delivered again, up to REDIS_STREAM_MAX_DELIVERIES times: its answer may
come twice, and a mention that cannot be answered ends among the dead letters.
"""

import os
import signal
import sys

import anyio
import anyio.abc
from aiohttp import web
from slack_sdk.errors import SlackClientError
from slack_sdk.web.async_client import AsyncWebClient

from abe_redis import AbeRedisError, Event, RedisMessageQueueBackend

MENTION = {
    "type": "app_mention",
    "channel": "C0DEMO",
    "user": "U0YOU",
    "ts": "1.000001",
    "text": "hello, bot",
}


async def answer(slack: AsyncWebClient, event: Event) -> None:
    """Answer a mention; anything else needs no answer, least of all what a bot said."""
    match event.get("event", event):  # Slack puts an envelope around the event itself
        case {"bot_id": str()}:
            pass
        case {"type": "app_mention", "channel": str(channel), "ts": str(ts), "user": str(user)} as mention:
            thread = mention.get("thread_ts") or ts
            await slack.chat_postMessage(channel=channel, thread_ts=thread, text=f"<@{user}> got it.")
            print(f"answered {event.id} in thread {thread!r} of {channel!r}", flush=True)


async def main(*, stand_in: bool) -> None:
    """Answer mentions until a signal comes."""
    url, token = os.environ.get("SLACK_API_URL", AsyncWebClient.BASE_URL), os.environ.get("SLACK_BOT_TOKEN")
    async with RedisMessageQueueBackend.from_env() as backend, anyio.create_task_group() as tasks:
        tasks.start_soon(stop_on_signal, tasks.cancel_scope)
        if stand_in:
            url = await tasks.start(stand_in_for_slack)
            await backend.publish(backend.settings.slack_events_topic, MENTION)
        slack = AsyncWebClient(token or "xoxb-of-nobody", base_url=url)
        print("waiting for mentions; Ctrl-C ends it", flush=True)
        async for event in backend.consume(group="reply-bot"):  # acknowledges the event before
            with anyio.CancelScope(shield=True):  # an answer that was begun is finished
                await answer(slack, event)


async def stop_on_signal(scope: anyio.CancelScope) -> None:
    """Stop waiting for the next event at the first signal."""
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
        async for _ in signals:
            scope.cancel()


async def stand_in_for_slack(*, task_status: anyio.abc.TaskStatus[str]) -> None:
    """Show every call of Slack's API, and accept it."""

    async def show(request: web.BaseRequest) -> web.Response:
        print(f"Slack would get {request.path}: {await request.json()}", flush=True)
        return web.json_response({"ok": True})

    runner = web.ServerRunner(web.Server(show))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        task_status.started(f"http://127.0.0.1:{runner.addresses[0][1]}/api/")
        await anyio.sleep_forever()
    finally:
        await runner.cleanup()


if __name__ == "__main__":
    if not (os.environ.get("SLACK_BOT_TOKEN") or "--stand-in" in sys.argv):
        raise SystemExit("Set SLACK_BOT_TOKEN to your bot's token, or try --stand-in.")
    try:
        anyio.run(lambda: main(stand_in="--stand-in" in sys.argv))
    except* (AbeRedisError, SlackClientError) as failed:
        raise SystemExit(str(failed.exceptions[0])) from None
