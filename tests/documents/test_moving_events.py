"""The recipe of docs/command-line.md that moves events to another Redis, done as it stands."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.cli.command_runs import answer
from tests.patience import PATIENCE
from tests.servers import Server

PAGE = Path(__file__).parents[2] / "docs/command-line.md"


@pytest.mark.skipif(sys.platform == "win32", reason="the page's shell is that of Linux and macOS")
def test_the_recipe_moves_what_waits_and_the_dead_letters(
    redis_url: str, own_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    ids = []
    for number in range(4):
        payload = {"type": "event_callback", "event_id": f"Ev{number}", "event": {"type": "message"}}
        ids.append(answer("publish", json.dumps(payload))["id"])
    answer("group", "create", "slack_events", "bot")
    answer("read", "--group", "bot", "-n", "1")
    answer("ack", "slack_events", ids[0], "--group", "bot")
    answer("dead", "bury", "slack_events", ids[1], "--group", "bot", "--reason", "no")
    text = PAGE.read_text("utf-8").partition("## Move events, or dead letters, to another Redis\n")[2]
    found = re.search(r"^```sh\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    assert found is not None
    recipe = found[1].replace("redis://old:6379/0", redis_url).replace("redis://new:6379/0", own_server.url)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", recipe],
        cwd=tmp_path,
        env=os.environ | {"PATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    monkeypatch.setenv("REDIS_URL", own_server.url)
    moved = answer("read", "--order", "oldest")["events"]
    assert [one["payload"]["event_id"] for one in moved] == ["Ev2", "Ev3", "Ev1"]
