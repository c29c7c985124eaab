"""The command line in a process: what it answers, also as JSON."""

import json
import os
import subprocess
from typing import Any

import pytest

from tests.command_line import run_command


def run(*arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, stdin=stdin, env=os.environ | {"COLUMNS": "120"} | environment)


@pytest.fixture
def at(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)


def answer(*arguments: str, stdin: str | None = None) -> Any:
    result = run(*arguments, "--json", stdin=stdin)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)
