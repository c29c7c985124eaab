"""Mistakes in the command line of `abe-redis worker`, each answered with a sentence."""

import sys
from pathlib import Path

import pytest

from abe_redis import Backoff, Event, Retry
from tests.integration.cli.command_runs import run
from tests.integration.cli.worker_process import Start, queue, start
from tests.servers import HOST, Server, free_port

__all__ = ["queue", "start"]


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        ([], 2, "Missing argument 'MODULE:HANDLER'"),
        (["bot"], 2, "'bot' does not name a handler. Write MODULE:HANDLER"),
        (["bot:"], 2, "'bot:' does not name a handler"),
        ([":handle"], 2, "':handle' does not name a handler"),
        ([".bot:handle"], 2, "'.bot:handle' does not name a handler"),
        (
            ["bot.py:handle"],
            2,
            "'bot.py:handle' names a file. Write its module as import does, as in bot:handle",
        ),
        (["./src/bot.py:handle"], 2, "as in src.bot:handle"),
        (
            ["bott:handle"],
            2,
            "The module 'bott', which 'bott:handle' names, is neither in the working directory",
        ),
        (["bot.sub:handle"], 2, "'bot' is not a package"),
        (["bot:handel"], 2, "bot.py) has no 'handel', which 'bot:handel' names. Did you mean 'handle'?"),
        (["bot:app.events.handel"], 2, "'events' of 'bot' has no 'handel'"),
        (["bot:xyzzy"], 2, "has no 'xyzzy', which 'bot:xyzzy' names. Check the name."),
        (["bot:number"], 2, "'bot:number' is no handler but of type 'int', which cannot be called."),
        (["bot:Holder"], 2, "is no handler but of type 'str'"),
        (
            ["bot:two"],
            2,
            "'bot:two' takes (event, say), but a handler is called with one argument, the event.",
        ),
        (["bot:none"], 2, "'bot:none' takes ()"),
        (["bot:yields"], 2, "'bot:yields' contains yield"),
        (["bot:WithArguments"], 2, "'bot:WithArguments' is a class that takes (token)"),
        (["bot:WithoutHandleEvent"], 2, "'bot:WithoutHandleEvent' is a class without handle_event."),
        (
            ["bot:Broken"],
            1,
            "Making an object of the class 'bot:Broken' failed with RuntimeError: no token at ",
        ),
        (["bot:handle", "--concurrency", "0"], 2, "Invalid value for '--concurrency'"),
        (["bot:handle", "--timeout", "0"], 2, "Invalid value for '--timeout'"),
        (["bot:handle", "--drain", "-1"], 2, "Invalid value for '--drain'"),
        (["bot:handle", "--view", "raw"], 2, "Invalid value for '--view'"),
        (["bot:handle", "--group", "\n"], 2, "group"),
        (["bot:handle", "--stream", "elsewhere"], 2, "'elsewhere' is not among those that are read here"),
        (["bot:handle", "--stream", "dead:{slack_events}"], 2, "dead:{slack_events}"),
        (["bot:handle", "-s", "slack:a", "-s", "slack:b", "--respond-to", "slack:b"], 2, "slack:a, slack:b"),
        (["bot:handle", "--respond-to", "slack:answers"], 2, "every answer would come back to the handler"),
        (["bot:handle", "--respond-to", "dead:{x}"], 2, "dead:{x}"),
        (["bot:handle", "-s", "slack:a", "--respond-to", "slack:*"], 2, "'slack:*' reads like a pattern"),
        (
            ["bot:handle", "--stream", "slack:["],
            2,
            "'slack:[' is no name or pattern of streams: a [ of it has",
        ),
    ],
)
def test_a_mistake_is_a_sentence(
    queue: Server, start: Start, arguments: list[str], code: int, says: str
) -> None:
    result = run("worker", *arguments, COLUMNS="500")
    assert result.returncode == code, result.stderr
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("import json\n\nimport nowhere\n", "ModuleNotFoundError: No module named 'nowhere' at {file}:3."),
        ("import os\nos.environ['NO_SUCH_TOKEN']\n", "KeyError: 'NO_SUCH_TOKEN' at {file}:2."),
        ("def handle(event:\n", "SyntaxError: '(' was never closed ({name}, line 1) at {file}:1."),
        ("raise ValueError('xoxb-1-secret')\n", "ValueError: *** at {file}:1."),
    ],
)
def test_a_module_that_cannot_be_imported_says_where(tmp_path: Path, source: str, says: str) -> None:
    """It is there, so nobody is told that it is not."""
    file = tmp_path / "broken.py"
    file.write_text(source)
    result = run("worker", "broken:handle", COLUMNS="500")
    assert result.returncode == 1
    (sentence,) = result.stderr.splitlines()
    expected = says.format(file=file, name=file.name)
    assert sentence.startswith(f"abe-redis: Importing 'broken' failed with {expected}")
    shown = run("-v", "worker", "broken:handle").stderr
    assert "Traceback" in shown


def test_a_directory_without_init_is_named_as_such(tmp_path: Path) -> None:
    (tmp_path / "bots").mkdir()
    result = run("worker", "bots:handle")
    assert result.returncode == 2
    assert "The module 'bots' (a directory without __init__.py) has no 'handle'" in result.stderr


def test_no_file_of_the_bots_directory_takes_the_place_of_ours(tmp_path: Path) -> None:
    """Neither an installed console script's sys.path nor what we need begins in the working directory."""
    (tmp_path / "redis.py").write_text("raise RuntimeError('not the real one')\n")
    (tmp_path / "bot.py").write_text(
        "import redis.asyncio\nraise SystemExit(f'the bot has {redis.asyncio}')\n"
    )
    script = "import sys; sys.path.remove(''); from abe_redis.cli import main; main()"
    import subprocess

    result = subprocess.run(
        [sys.executable, "-c", script, "worker", "bot:handle"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 1
    assert "the bot has <module 'redis.asyncio' from" in result.stderr


def test_a_setting_is_checked(start: Start) -> None:
    worker = start("bot:handle", REDIS_URL=f"redis://:s3cret@{HOST}:{free_port()}/x")
    assert worker.wait() == 2
    assert "REDIS_URL is not valid" in worker.stderr
    assert "s3cret" not in worker.stderr


def test_a_backoff_of_many_deliveries_stays_a_number() -> None:
    """With a million deliveries allowed, doubling would overflow after the thousandth."""
    event = Event({}, stream="s", group="g", id="1-0", deliveries=5000)
    decision = Backoff(most=60, deliveries=1_000_000)(event, ValueError())
    assert isinstance(decision, Retry)
    assert decision.delay <= 60
