"""abe-redis, this checkout: an `EventWorker` whose handler is a Bolt app, beside the same without Bolt."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult

from abe_redis import EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.bolt import BoltHandler
from benchmarks.peers.ours import PACKAGES, publisher
from benchmarks.side import CONCURRENCY, Handle, Side, Work, running, serve


async def authorize(team_id: str) -> AuthorizeResult:
    """Every workspace is installed, and Slack is not asked."""
    return AuthorizeResult(enterprise_id=None, team_id=team_id, bot_token="xoxb-of-nobody", bot_user_id="U0")  # noqa: S106


@asynccontextmanager
async def consumer(work: Work, handle: Handle) -> AsyncIterator[None]:
    """One worker per group."""
    app = AsyncApp(authorize=authorize, signing_secret="of-nobody")  # noqa: S106

    async def on_event(body: dict[str, Any]) -> None:
        handle(body)

    app.event("app_mention")(on_event)
    async with RedisMessageQueueBackend(Settings(redis_url=work.url)) as backend:
        workers = [
            EventWorker(backend, BoltHandler(app), group=group, concurrency=CONCURRENCY)
            for group in work.groups
        ]
        async with running(*(worker.run() for worker in workers)):
            yield


if __name__ == "__main__":
    serve(Side(publisher, consumer, packages=(*PACKAGES, "slack-bolt")))
