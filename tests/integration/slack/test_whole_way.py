"""From Slack through a door and the queue to the listener of a Bolt app, and nothing between forgets."""

from typing import Any

import anyio
import pytest
from slack_bolt.async_app import AsyncApp
from slack_sdk.web.async_client import AsyncWebClient

from abe_redis import EventWorker, RedisMessageQueueBackend
from abe_redis.bolt import BoltHandler
from abe_redis.testing import app_mention, block_actions, slash_command
from abe_redis.testing.fake_slack.fake import FakeSlack
from abe_redis.testing.signing import signed, signed_form
from tests.integration.slack.doors import SECRET, door, post
from tests.integration.slack.test_socket import receiving
from tests.patience import PATIENCE
from tests.unit.events.shapes import action

SENT = {
    "event": app_mention("hello"),
    "action": block_actions("go"),
    "command": slash_command("/go", "web"),
    "shortcut": action("shortcut", callback_id="new"),
    "view": action("view_closed", view={"type": "modal", "callback_id": "form"}),
}


@pytest.mark.parametrize("by", ["http", "socket"])
async def test_every_kind_reaches_its_listener(backend: RedisMessageQueueBackend, by: str) -> None:
    seen: dict[str, Any] = {}
    async with FakeSlack(answer_within=PATIENCE) as slack:
        app = AsyncApp(client=AsyncWebClient("xoxb-1", base_url=slack.api_url), signing_secret=SECRET)

        def listener(name: str) -> Any:
            async def listen(ack: Any, context: Any) -> None:
                await ack()
                seen[name] = context["abe_redis_event"].arrival

            return listen

        app.event("app_mention")(listener("event"))
        app.action("go")(listener("action"))
        app.command("/go")(listener("command"))
        app.shortcut("new")(listener("shortcut"))
        app.view_closed("form")(listener("view"))
        worker = EventWorker(backend, BoltHandler(app), group="bot")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(worker.run)
            if by == "http":
                here = door(backend)
                for name, payload in SENT.items():
                    request = (signed if name == "event" else signed_form)(payload, SECRET)
                    assert (await post(here, *request)).status == 200
            else:
                async with receiving(backend, slack):
                    for payload in SENT.values():
                        assert (await slack.send(payload)).accepted
            with anyio.fail_after(PATIENCE):
                while len(seen) < len(SENT):
                    await anyio.sleep(0.02)
            await worker.shutdown()
    assert {arrival.path for arrival in seen.values()} == {by}
