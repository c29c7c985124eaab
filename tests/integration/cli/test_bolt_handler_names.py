"""What a dead letter of a Bolt app names: the listener that failed, or else the app."""

import json
from pathlib import Path

import pytest

from abe_redis.testing import app_mention, envelope, message
from tests.hosts.processes import Child, until
from tests.integration.cli.command_runs import answer, run
from tests.integration.cli.worker_process import Start, publish, queue, start
from tests.servers import Server

__all__ = ["queue", "start"]

BOT = """
import functools
import {module}
from slack_bolt.authorization import AuthorizeResult

async def authorize(**facts):
    return authorized(**facts)

def authorized(**facts):
    return AuthorizeResult(enterprise_id=None, team_id="T1", bot_token="xoxb-1", bot_user_id="UBOT")

app = {module}.{kind}(signing_secret="of-nobody", authorize={authorize})
{coroutine}def ack():
    pass

def logged(function):
    @functools.wraps(function)
    {coroutine}def wrapped(event):
        return {wait}function(event)
    return wrapped

@app.middleware
{coroutine}def check(body, next):
    if body["event"]["type"] == "star_added":
        raise PermissionError("not for you")
    {wait}next()
    if body["event"]["type"] == "pin_added":
        raise PermissionError("not for you, either")

@app.event("app_mention")
@logged
{coroutine}def hello(event):
    deeper()

def deeper():
    raise LookupError("no such thing")

{coroutine}def work_later(event):
    raise LookupError("no such thing")

app.event("message")(ack=ack, lazy=[work_later])
app.event("pin_added")(ack)
"""


def bot(kind: str) -> str:
    if kind == "App":
        return BOT.format(kind=kind, module="slack_bolt", authorize="authorized", coroutine="", wait="")
    module = "slack_bolt.async_app"
    return BOT.format(kind=kind, module=module, authorize="authorize", coroutine="async ", wait="await ")


@pytest.mark.parametrize("kind", ["App", "AsyncApp"])
def test_a_dead_letter_names_the_listener_or_else_the_app(
    kind: str, start: Start, queue: Server, tmp_path: Path
) -> None:
    (tmp_path / "bot.py").write_text(bot(kind), encoding="utf-8")
    worker = start("bot:app", REDIS_STREAM_MAX_DELIVERIES="1")
    events = [app_mention("hi"), message("hi")]
    events += [envelope({"type": name, "user": "U1", "item": {}}) for name in ("star_added", "pin_added")]
    publish(queue, *events)
    until(lambda: buried(worker) == len(events), "the dead letters")
    letters = answer("dead", "list")["letters"]
    assert {one["event_type"]: one["handler"] for one in letters} == {
        "app_mention": "bot.hello",
        "message": "bot.work_later",
        "star_added": "bot:app",
        "pin_added": "bot:app",
    }
    kinds = answer("dead", "summary")["kinds"]
    assert sorted(one["handler"] for one in kinds) == ["bot.hello", "bot.work_later", "bot:app", "bot:app"]
    hello = next(one for one in letters if one["event_type"] == "app_mention")
    assert "\nhandler    bot.hello\n" in run("dead", "show", hello["id"]).stdout


def buried(worker: Child) -> int:
    assert worker.process.poll() is None, worker.stderr
    return int(json.loads(run("dead", "list", "--json").stdout or '{"total": 0}')["total"])
