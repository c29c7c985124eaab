"""A listener that handles itself that its answer comes too late: its event is no failure then."""

from contextlib import suppress
from typing import Any

import pytest

from abe_redis.bolt import AnswerTooLateError
from abe_redis.testing import block_actions, slash_command, view_submission
from tests.contract.bolt.bots import Bots, handle

WHO = {"team": {"id": "T1"}, "user": {"id": "U1"}, "channel": {"id": "C1"}}
ASKING = {
    "command": slash_command("/deploy"),
    "action": block_actions("press"),
    "view": view_submission("form"),
    "shortcut": WHO | {"type": "shortcut", "callback_id": "ticket", "trigger_id": "1.2"},
    "options": WHO | {"type": "block_suggestion", "action_id": "pick", "block_id": "b1", "value": "a"},
    "dialog": WHO | {"type": "dialog_submission", "callback_id": "old", "submission": {}, "state": ""},
    "of a function": block_actions("press") | {"function_data": {"execution_id": "Fx1", "inputs": {}}},
}
"""What a listener answers, by kind."""
ANSWERS = [
    {"text": "on it"},
    {"text": {"text": "on it"}},
    {"options": []},
    {"response_action": "errors", "errors": {"b1": "no"}},
    {"errors": [{"name": "b1", "error": "no"}]},
]


def listening(app: Any, listener: Any) -> Any:
    """The app, with this listener for all of it."""
    for register in (
        *(app.command("/deploy"), app.action("press"), app.view("form"), app.shortcut("ticket")),
        *(app.options("pick"), app.dialog_submission("old")),
    ):
        register(listener)
    return app


@pytest.mark.parametrize(
    ("payload", "answer"),
    [
        pytest.param(payload, answer, id=f"{kind}-{answer}")
        for number, (kind, payload) in enumerate(ASKING.items())
        for answer in (ANSWERS[number % 5], ANSWERS[(number + 2) % 5])
    ],
)
async def test_a_listener_may_handle_itself_that_its_answer_comes_too_late(
    bots: Bots, payload: dict[str, Any], answer: dict[str, Any]
) -> None:
    """It has acked then: no other listener gets the event, and nothing is buried."""
    caught, others = list[str](), list[str]()

    def listen(ack: Any) -> None:
        try:
            ack(**answer)
        except AnswerTooLateError as error:
            caught.append(str(error))

    async def listen_async(ack: Any) -> None:
        try:
            await ack(**answer)
        except AnswerTooLateError as error:
            caught.append(str(error))

    app = listening(bots.app(), listen_async if bots.is_async else listen)
    listening(app, bots.fit(lambda: others.append("another")))
    seen = await handle(app, payload)
    assert (seen.errors, others, len(caught)) == ([], [], 1)
    assert "ack() was called with content" in caught[0]


@pytest.mark.parametrize("place", ["lazy", "middleware", "error handler"])
async def test_whoever_acks_too_late_may_handle_that_itself(bots: Bots, place: str) -> None:
    caught, ran = list[Exception](), list[str]()

    def answer(ack: Any) -> None:
        try:
            ack("on it")
        except AnswerTooLateError as error:
            caught.append(error)

    async def answer_async(ack: Any) -> None:
        try:
            await ack("on it")
        except AnswerTooLateError as error:
            caught.append(error)

    def go_on(ack: Any, next_: Any) -> Any:
        answer(ack)
        return next_()

    async def go_on_async(ack: Any, next_: Any) -> Any:
        await answer_async(ack)
        return await next_()

    def listen() -> None:
        ran.append("listener")
        if place == "error handler":
            raise ValueError("no")

    app, acked = bots.app(), bots.fit(listen)
    answering = answer_async if bots.is_async else answer
    if place == "middleware":
        app.use(go_on_async if bots.is_async else go_on)
    elif place == "error handler":
        app.error(answering)
    if place == "lazy":
        app.command("/deploy")(ack=acked, lazy=[answering])
    else:
        app.command("/deploy")(acked)
    assert (await handle(app, slash_command("/deploy"))).errors == []
    assert (ran, len(caught)) == (["listener"], 1)


async def test_what_a_listener_raises_after_such_an_answer_is_the_failure(bots: Bots) -> None:
    def listen(ack: Any) -> None:
        with suppress(AnswerTooLateError):
            ack("on it")
        raise ValueError("mine")

    async def listen_async(ack: Any) -> None:
        with suppress(AnswerTooLateError):
            await ack("on it")
        raise ValueError("mine")

    app = bots.app()
    app.command("/deploy")(listen_async if bots.is_async else listen)
    assert repr((await handle(app, slash_command("/deploy"))).error) == "ValueError('mine')"
