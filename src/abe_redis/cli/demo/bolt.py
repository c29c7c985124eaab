"""A Bolt app on the queue: a Slack of the demo posts to `abe-redis listen`, and a worker runs the app."""

import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from abe_redis.cli.demo.stage import Child, Stage
from abe_redis.cli.demo.terminal import Story
from abe_redis.runtime.extras import how_to_install

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from abe_redis.testing import FakeSlack

MISSING = f"Bolt is not installed here. To see a Bolt app on the queue: {how_to_install('bolt')}"

STREAM = "slack:bolt"
"""A stream of its own, beside that of the other acts."""

_APP = "abe_redis.cli.demo.bolt_app:app"


@asynccontextmanager
async def behind_the_scene(stage: Stage) -> "AsyncIterator[Bolt | None]":
    """Start what the act needs, while other acts go on; None without Bolt."""
    if find_spec("slack_bolt") is None or find_spec("aiohttp") is None:
        yield None
        return
    from abe_redis.testing import FakeSlack  # noqa: PLC0415 - needs aiohttp

    async with FakeSlack() as slack:
        listen = ("-m", "abe_redis", "listen", "--http", "--port", "0", "--queue", STREAM)
        work = ("-m", "abe_redis", "worker", _APP, "--group", "bot", "--retry-first", "0.1")
        variables = {
            "REDIS_STREAM_PATTERNS": STREAM,
            "SLACK_EVENTS_TOPIC": STREAM,
            "SLACK_SIGNING_SECRET": slack.signing_secret,
            "DEMO_SLACK": slack.api_url,
        }
        async with (
            stage.python("worker", *work, stdout_too=True, **variables) as worker,
            stage.python("listener", *listen, stdout_too=True, **variables) as listener,
        ):
            yield Bolt(slack, worker, listener)


@dataclass(frozen=True)
class Bolt:
    """The cast of the act."""

    slack: "FakeSlack"
    worker: Child
    listener: Child

    async def perform(self, stage: Stage, story: Story) -> None:
        """Let the app answer a mention at the second try, and a command.

        Raises:
            DemoError: A claim does not hold.
        """
        from abe_redis.testing import app_mention, slash_command  # noqa: PLC0415 - not without Bolt

        slack = self.slack
        story.act("A Bolt app as it is: `abe-redis listen` before it, `abe-redis worker bot:app` around it")
        await stage.until(lambda: _address(self.listener) is not None, "the listener", self.listener)
        address = _address(self.listener) or ""
        mention = app_mention("good morning")
        command = slash_command("/deploy", "web") | {"response_url": slack.response_url()}
        sent = [slack.post(address, payload) for payload in (mention, command)]
        await stage.until(lambda: all(one.has_ended for one in sent), "Slack's answers", self.listener)
        story.check("Slack had its 200s when Redis had both", all(one.accepted for one in sent), sent)
        await stage.until(
            lambda: bool(slack.calls("chat.postMessage") and slack.calls("response_url")),
            "the Bolt app to answer",
            self.worker,
        )
        (said,), (responded,) = slack.calls("chat.postMessage"), slack.calls("response_url")
        words, where = said.arguments["text"], said.arguments["thread_ts"]
        story.check(
            f"its listener failed once, was run again, and answered: {words}",
            words.endswith("at delivery 2!") and where == mention["event"]["ts"],
            said,
        )
        words = responded.arguments["text"]
        story.check(
            f"its command's lazy listener answered, too: {words}", words == "web is deployed.", responded
        )


def _address(listener: Child) -> str | None:
    found = re.search(r"Listening to Slack at (\S+)", listener.log.read_text("utf-8", errors="replace"))
    return found[1] if found else None
