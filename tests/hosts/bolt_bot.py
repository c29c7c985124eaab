"""A Bolt bot of the tests, as `bot.py` of a worker: one listener for each way to fail.

`BOT_KIND` says whether it is an `App` or an `AsyncApp`, `SLACK_API_URL` where its Slack is.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from inspect import isawaitable
from pathlib import Path
from typing import Any

from slack_bolt import App
from slack_bolt.async_app import AsyncApp
from slack_bolt.authorization import AuthorizeResult
from slack_sdk import WebClient
from slack_sdk.web.async_client import AsyncWebClient

IS_ASYNC = os.environ["BOT_KIND"] == "async"
URL = os.environ["SLACK_API_URL"]


def fit(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function as this kind of app needs it."""
    if not IS_ASYNC:
        return function

    @wraps(function)
    async def awaiting(*positional: Any, **named: Any) -> Any:
        result = function(*positional, **named)
        return await result if isawaitable(result) else result

    return awaiting


@fit
def authorize(team_id: str) -> AuthorizeResult | None:
    if team_id == "T0NOWHERE":
        return None
    return AuthorizeResult(
        enterprise_id=None, team_id=team_id, bot_token="xoxb-1", bot_id="B1", bot_user_id="U0BOT"
    )


app: Any
if IS_ASYNC:
    app = AsyncApp(client=AsyncWebClient(base_url=URL), authorize=authorize, signing_secret="of-nobody")
else:
    app = App(client=WebClient(base_url=URL), authorize=authorize, signing_secret="of-nobody")


@app.use  # type: ignore[untyped-decorator]
@fit
def middleware(body: dict[str, Any], next: Callable[[], Any]) -> Any:  # noqa: A002 - Bolt's name
    if "middleware fails" in body["event"].get("text", ""):
        raise LookupError("of the middleware")
    return next()


@fit
def listener_fails() -> None:
    raise LookupError("of the listener")


@fit
def lazy_fails() -> None:
    raise LookupError("of the lazy listener")


@fit
def exits() -> None:
    sys.exit(3)


@fit
def nothing() -> None:
    pass


@fit
def say_fails(say: Any) -> Any:
    return say("this channel is not there any more")


@fit
def is_limited(client: Any, event: dict[str, Any]) -> Any:
    return client.conversations_history(channel=event["channel"])


@fit
def dies(context: Any) -> None:
    """Wait to be killed at the first time."""
    is_first = not Path("deliveries").exists()
    with Path("deliveries").open("a") as file:
        file.write(f"{context['abe_redis_event'].id}\n")
    if is_first:
        time.sleep(600)


app.message("listener fails")(listener_fails)
app.message("lazy fails")(ack=nothing, lazy=[lazy_fails])
app.message("listener exits")(exits)
app.message("lazy exits")(ack=nothing, lazy=[nothing, exits])
app.message("middleware fails")(nothing)
app.message("not authorized")(nothing)
app.message("say fails")(say_fails)
app.message("is limited")(is_limited)
app.message("dies")(dies)
