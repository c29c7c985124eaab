"""A Bolt app that answers Slack itself, as `abe-redis listen --http bot:app` lets it."""

import json
from typing import Any

import anyio
import pytest

from abe_redis.slack.inline import BoltAnswers
from abe_redis.testing import block_actions, view_submission
from tests.contract.bolt.bots import PATIENCE, Bots

ERRORS = {"response_action": "errors", "errors": {"why": "too short"}}


@pytest.mark.parametrize("answer", [{}, ERRORS], ids=["empty", "with-content"])
@pytest.mark.parametrize("has_handler", [False, True], ids=["", "app.error"])
async def test_an_ack_stands_if_the_listener_raises_afterwards(
    bots: Bots, answer: dict[str, Any], caplog: pytest.LogCaptureFixture, *, has_handler: bool
) -> None:
    app = bots.app()

    def fail() -> None:
        raise LookupError("behind the ack")

    async def form(ack: Any) -> None:
        await ack(**answer)
        fail()

    def form_in_a_thread(ack: Any) -> None:
        ack(**answer)
        fail()

    app.view("form")(form if bots.is_async else form_in_a_thread)
    handled = list[Exception]()
    if has_handler:
        app.error(bots.fit(lambda error: handled.append(error)))  # noqa: PLW0108 - Bolt passes it by name
    said = await BoltAnswers(app).answer(view_submission("form"))
    assert said.status == 200
    assert (json.loads(said.body) if said.body else {}) == answer
    assert "call ack()" not in caplog.text
    assert "no ack()" not in caplog.text
    assert "in time" not in caplog.text
    with anyio.fail_after(PATIENCE):  # a thread may tell of it later
        while not (handled if has_handler else "behind the ack" in caplog.text):
            await anyio.sleep(0.01)


async def test_a_listener_that_raises_before_its_ack_is_refused(bots: Bots) -> None:
    app = bots.app()

    def listener() -> None:
        raise LookupError("instead of an ack")

    app.action("go")(bots.fit(listener))
    assert (await BoltAnswers(app, ["block_actions"]).answer(block_actions("go"))).status == 500
