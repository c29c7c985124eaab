"""The Bolt app of docs/bolt.md in deploy/: as the page has it, in the worker and in the listener."""

import json
import re
from pathlib import Path
from textwrap import dedent

import httpx
import pytest

from abe_redis.testing import FakeSlack, app_mention, signed_form, view_submission
from tests.deploy.command_lines import parsed
from tests.deploy.deployed import OURS
from tests.deploy.reading import ROOT, SYSTEMD, Program, unit
from tests.deploy.test_runs import NEEDS_SLACK_MCP, SECRETS, Service, closed, queue
from tests.hosts.processes import until
from tests.patience import PATIENCE
from tests.servers import HOST, Server

__all__ = ["queue"]

PAGE = (ROOT / "docs" / "bolt.md").read_text("utf-8")
(BEFORE,) = re.findall(r"```py\n(.*?)```", PAGE, re.DOTALL)
APP = BEFORE.partition('if __name__ == "__main__":')[0]
FORM = """
    @app.view("form")
    async def form(ack):
        await ack(response_action="errors", errors={"why": "too short"})
"""
BOT_ROLES = [one for one in OURS if parsed(one.command[1:])["command"] in {"worker", "listen"}]


def bot_of(slack: FakeSlack) -> str:
    """The page's app, whose Slack is that of the test."""
    address = f"\napp.client.base_url = {slack.api_url!r}\n"
    return "".join([APP, address, dedent(FORM)])


@pytest.mark.parametrize("program", BOT_ROLES, ids=str)
def test_it_finds_its_variables_and_its_file(program: Program) -> None:
    read = set(re.findall(r'os\.environ\["(\w+)"\]', APP))
    assert read == {"SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET"}
    if not program.where.startswith("systemd"):
        assert read <= set(program.variables)
        return
    settings = unit(SYSTEMD / program.where.removeprefix("systemd "))
    assert "/etc/abe-redis/slack.env" in settings["EnvironmentFile"]
    assert settings["WorkingDirectory"][0].removeprefix("-") == "/opt/abe-redis/bot"


@NEEDS_SLACK_MCP
def test_the_worker_runs_it(queue: Server, tmp_path: Path) -> None:
    with FakeSlack() as slack:
        service = Service("worker", queue, tmp_path, bot=bot_of(slack), words={"bot:handle": ["bot:app"]})
        with closed(service) as worker, queue.admin() as client:
            client.xadd("slack_events", {"data": json.dumps(app_mention("hello"))})
            worker.until_healthy()
            until(lambda: slack.calls("chat.postMessage"), "the answer")
            until(lambda: client.xpending("slack_events", "bot")["pending"] == 0, "the ack")
            assert worker.end() == 0


def test_the_listener_answers_with_it(queue: Server, tmp_path: Path) -> None:
    with FakeSlack(answer_within=PATIENCE) as slack:
        words = {"--http": ["--http", "bot:app"]}
        with closed(Service("listener", queue, tmp_path, bot=bot_of(slack), words=words)) as listener:
            listener.until_healthy()
            url = f"http://{HOST}:{listener.port}/slack/events"
            body, headers = signed_form(view_submission("form"), SECRETS["SLACK_SIGNING_SECRET"])
            said = httpx.post(url, content=body, headers=headers, timeout=PATIENCE)
            assert (said.status_code, said.json()["errors"]) == (200, {"why": "too short"})
            assert listener.end() == 0
