"""Steps of workflows in a Bolt app: before 1.21, the listeners of a step run in a runner that it keeps."""

import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from slack_bolt.workflows.step import WorkflowStep
from slack_bolt.workflows.step.async_step import AsyncWorkflowStep

from abe_redis.bolt import AnswerTooLateError
from abe_redis.testing import envelope
from tests.contract.bolt.bots import Bots, handle
from tests.contract.bolt.failing import is_here, raise_

pytestmark = pytest.mark.filterwarnings("ignore:.*(Steps from apps|steps from apps|stepCompleted)")

EXECUTE = envelope(
    {
        "type": "workflow_step_execute",
        "callback_id": "copy",
        "workflow_step": {"workflow_step_execute_id": "1", "inputs": {}, "outputs": []},
        "event_ts": "1.1",
    }
)
EDIT = {
    "type": "workflow_step_edit",
    "callback_id": "copy",
    "trigger_id": "1.2",
    "user": {"id": "U1"},
    "team": {"id": "T1"},
    "workflow_step": {"workflow_id": "1", "step_id": "2", "inputs": {}, "outputs": []},
}
SAVE = {
    "type": "view_submission",
    "team": {"id": "T1"},
    "user": {"id": "U1"},
    "view": {"type": "workflow_step", "callback_id": "copy", "state": {"values": {}}},
    "workflow_step": {"workflow_step_edit_id": "1"},
}
PAYLOADS = {"edit": EDIT, "save": SAVE, "execute": EXECUTE}


def app_with_step(bots: Bots, **functions: Any) -> Any:
    """An app with a step of these functions, each one or a list with lazy ones; the others do nothing."""
    made = {door: [lambda: None] for door in PAYLOADS} | functions
    fitted: dict[str, Any] = {name: [bots.fit(one) for one in several] for name, several in made.items()}
    app = bots.app()
    app.step((AsyncWorkflowStep if bots.is_async else WorkflowStep)(callback_id="copy", **fitted))
    return app


@pytest.mark.parametrize("door", PAYLOADS)
async def test_a_step_s_exception_is_the_failure(bots: Bots, door: str) -> None:
    app = app_with_step(bots, **{door: [lambda: raise_(LookupError("of the step"))]})
    seen = await handle(app, PAYLOADS[door])
    assert str(seen.error) == "of the step"
    assert is_here(seen.error)


@pytest.mark.parametrize("door", PAYLOADS)
async def test_a_lazy_listener_of_a_step_is_waited_for(bots: Bots, door: str) -> None:
    app = app_with_step(bots, **{door: [lambda: None, lambda: raise_(LookupError("of the lazy one"))]})
    assert str((await handle(app, PAYLOADS[door])).error) == "of the lazy one"


async def test_a_step_is_done_when_it_has_ended(bots: Bots) -> None:
    ended = list[str]()

    def pause() -> Any:
        return anyio.sleep(0.2) if bots.is_async else time.sleep(0.2)

    async def then(pausing: Any) -> None:
        await pausing
        ended.append("execute")

    def execute() -> Any:
        pausing = pause()
        return then(pausing) if bots.is_async else ended.append("execute")

    app = app_with_step(bots, execute=[execute])
    assert (await handle(app, EXECUTE)).errors == []
    assert ended == ["execute"]


async def test_a_step_completes_with_its_outputs(bots: Bots) -> None:
    def execute(complete: Callable[..., Any]) -> Any:
        return complete(outputs={"copied": "yes"})

    assert (await handle(app_with_step(bots, execute=[execute]), EXECUTE)).errors == []
    assert len(bots.slack.calls("workflows.stepCompleted")) == 1


async def test_a_step_that_asks_slack_for_a_view_comes_too_late(bots: Bots) -> None:
    app = app_with_step(bots, edit=[lambda configure: configure(blocks=[])])
    assert isinstance((await handle(app, EDIT)).error, AnswerTooLateError)


async def test_the_app_itself_stays_as_it_is(bots: Bots) -> None:
    app = app_with_step(bots, execute=[lambda: None])
    before = [(one, dict(vars(one))) for one in _middleware(app)]
    assert (await handle(app, EXECUTE)).errors == []
    assert [(one, vars(one)) for one in _middleware(app)] == before


def _middleware(app: Any) -> list[Any]:
    name = "_async_middleware_list" if hasattr(app, "_async_middleware_list") else "_middleware_list"
    return list(getattr(app, name))
