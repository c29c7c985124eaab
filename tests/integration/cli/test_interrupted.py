"""Ctrl-C: whoever interrupts a command learns what was done."""

import asyncio
import io
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import pytest

from abe_redis.cli import failure, publish
from abe_redis.cli.common import stepwise
from abe_redis.cli.line_numbers import LineRanges
from abe_redis.cli.publish_lines import LinesPublisher
from abe_redis.schemas import PublishLinesResult, PublishResult
from tests.hosts import forking
from tests.hosts.processes import Child, ended, until
from tests.hosts.slow import slow
from tests.integration.conftest import until as until_true
from tests.patience import PATIENCE
from tests.servers import Server

WORDS = "abe-redis: Interrupted"
DEAD = "dead:{slack_events}"


def interrupt(*_: Any, **__: Any) -> NoReturn:
    raise KeyboardInterrupt


def test_before_a_command_has_started_nothing_was_done(tmp_path: Path) -> None:
    """While Python imports: here, a module whose import takes long, and that presses Ctrl-C itself."""
    slow = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(9)\n"
    (tmp_path / "typer.py").write_text(slow)
    done = subprocess.run(
        [sys.executable, "-m", "abe_redis", "publish", "--lines", "events.jsonl"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (130, "")
    assert done.stderr == f"{WORDS} before it had started; nothing was done.\n"


def test_before_the_first_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "with_operations", interrupt)
    monkeypatch.setattr(sys, "stdin", sys.__stdin__)
    monkeypatch.setattr(sys, "argv", ["abe-redis", "publish", "--json"])
    (tmp_path / "events.jsonl").write_text('{"n": 1}\n')
    with (tmp_path / "events.jsonl").open("rb") as lines, pytest.raises(KeyboardInterrupt):
        publish._publish_lines(lines, None, 1, None, as_json=True)  # type: ignore[arg-type]
    failure.end_interrupted()
    said = capsys.readouterr()
    assert said.err == f"{WORDS} before the first line. Published: 0.\n"
    result = PublishLinesResult.model_validate_json(said.out)
    assert (result.lines, result.continue_with) == (0, "--from-line 1")
    assert json.loads(said.out)["error"] == "Interrupted before the first line. Published: 0."


class Quick:
    async def publish_many(self, events: list[Any], **_: Any) -> list[Any]:
        return [PublishResult(stream="slack_events", id="1-0", duplicate=False) for _ in events]


def then_interrupt(work: Callable[[Any], Coroutine[Any, Any, Any]], **_: Any) -> NoReturn:
    asyncio.run(work(Quick()))
    raise KeyboardInterrupt


@contextmanager
def interrupting(_: str) -> Iterator[Callable[[int], None]]:
    yield interrupt


@pytest.mark.parametrize(
    ("name", "stand_in"),
    [("with_operations", then_interrupt), ("progress", interrupting)],
    ids=["when all is done", "a second time, between two waits"],
)
def test_what_is_published_counts_wherever_the_interrupt_comes(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    name: str,
    stand_in: Any,
) -> None:
    monkeypatch.setattr(publish, "with_operations", lambda work, **_: asyncio.run(work(Quick())))
    monkeypatch.setattr(publish, name, stand_in)
    monkeypatch.setattr(sys, "stdin", sys.__stdin__)
    (tmp_path / "events.jsonl").write_text('{"n": 1}\n')
    with (tmp_path / "events.jsonl").open("rb") as lines, pytest.raises(KeyboardInterrupt):
        publish._publish_lines(lines, None, 1, None, as_json=False)  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.startswith("abe-redis: Published: 1")


def test_one_event_may_be_published(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(publish, "with_operations", interrupt)
    with pytest.raises(KeyboardInterrupt):
        publish.publish('{"n": 1}')
    assert f"{WORDS} before Redis answered: the event may be published." in capsys.readouterr().err


def test_a_change_in_steps_says_how_much_is_done(capsys: pytest.CaptureFixture[str]) -> None:
    """As `dead redrive` and `dead purge` are made."""
    with pytest.raises(KeyboardInterrupt), stepwise("redriving") as note:
        note(100)
        note(100)
        raise KeyboardInterrupt
    assert capsys.readouterr().err == f"{WORDS} while redriving: 200 done, and perhaps some more.\n"


CHANGES = (
    "dead bury slack_events 1-0 --group g --reason x",
    "ack slack_events 1-0 --group g",
    "release slack_events 1-0 --group g",
    "group create slack_events g",
    "group reset slack_events g --from now",
    "group replay slack_events g --from 1h",
    "group remove slack_events g",
    "group pause slack_events g",
    "group resume slack_events g",
)
"""Those in one step; nobody knows whether Redis had done it."""


@pytest.mark.parametrize("line", [*CHANGES, "group reset slack_events g --from now --dry-run", "stats"])
def test_a_change_in_one_step_says_that_it_may_be_done(line: str) -> None:
    script = f"""
import sys
import anyio
from abe_redis.cli import main

def interrupt(*_, **__):
    raise KeyboardInterrupt

anyio.run = interrupt
sys.argv = ["abe-redis", *{line.split()!r}, "--json"]
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    said = failure.MAY_BE_DONE if line in CHANGES else "Interrupted."
    assert (done.returncode, done.stderr) == (130, f"abe-redis: {said}\n")
    assert json.loads(done.stdout) == {"error": said}


@pytest.mark.usefixtures("not_under_nohup")
def test_a_script_reads_where_to_continue(server: Server, redis_url: str, tmp_path: Path) -> None:
    child = Child(
        [*forking.ours(), "-m", "abe_redis", "publish", "--lines", "-", "--json"],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": redis_url},
        stderr=tmp_path / "stderr",
    )
    with ended([child]), server.admin() as client:
        child.send('{"n": 1}')
        until(lambda: client.xlen("slack_events") == 1, "a line to be published")
        child.process.send_signal(signal.SIGINT)
        assert child.wait() in {1, 130}
        until(lambda: "}" in "".join(child.lines), "its result")
        result = json.loads("".join(child.lines))
        assert (result["lines"], result["continue_with"]) == (1, "--from-line 2")
        assert "Published: 1. Continue with --from-line 2." in child.stderr


async def test_when_all_is_published_nothing_is_left_to_continue_with(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = threading.enumerate()
    began, may_end, left_off = asyncio.Event(), asyncio.Event(), list[PublishLinesResult]()

    class Slow:
        async def publish_many(self, _: list[Any], **__: Any) -> list[Any]:
            began.set()
            await may_end.wait()
            return [PublishResult(stream="slack_events", id="1-0", duplicate=False)]

    lines: Any = io.BytesIO(b'{"n": 1}\n')
    slow: Any = Slow()
    publisher = LinesPublisher(lines, stream=None, first=1, skipped=LineRanges(), on_left_off=left_off.append)
    running = asyncio.create_task(publisher.publish(slow, lambda _: None))
    await began.wait()

    async def is_read() -> bool:
        """Whether the thread that reads has seen the end."""
        return not [one for one in threading.enumerate() if one not in before]

    await until_true(is_read)
    running.cancel()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert capsys.readouterr().err == "abe-redis: Published: 1, and nothing is left.\n"
    assert [one.continue_with for one in left_off] == [None]


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_between_very_many_calls_of_threads_is_not_lost_and_prints_no_traceback(
    number: signal.Signals,
) -> None:
    program = f"""
import asyncio, io, os
from abe_redis.cli.line_numbers import LineRanges
from abe_redis.cli.publish_lines import LinesPublisher
from abe_redis.runtime.signals import as_interrupts
from abe_redis.schemas import PublishResult

class Operations:
    async def publish_many(self, *_, **__):
        for _ in range(100_000):
            asyncio.get_running_loop().call_soon_threadsafe(id, 1)
        os.kill(os.getpid(), {number})
        await asyncio.sleep(1)
        return [PublishResult(stream="slack_events", id="1-0", duplicate=False)]

async def main():
    ignore = lambda _: None
    with as_interrupts():
        await LinesPublisher(
            io.BytesIO(b'{{"n": 1}}'), stream=None, first=1, skipped=LineRanges(), on_left_off=ignore
        ).publish(Operations(), ignore)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "abe-redis: Published: 1, and nothing is left.\n")


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_after_the_last_wait_of_a_call_prints_no_traceback(number: signal.Signals) -> None:
    program = f"""
import anyio, os
from abe_redis.runtime.signals import as_interrupts

async def main():
    with as_interrupts():
        await anyio.sleep(0)
        os.kill(os.getpid(), {number})

try:
    anyio.run(main)
except KeyboardInterrupt:
    print("interrupted")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.stdout, done.stderr) == ("interrupted\n", "")


LETTERS = 6000


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.promise("A change that has begun is recorded though its call is cancelled")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("dead redrive slack_events --all", "while redriving"),
        ("dead purge slack_events --all --yes", "while purging"),
        ("erase --user U0OTHER --yes", "some events may be erased already"),
    ],
)
def test_a_signal_in_the_middle_of_a_change_leaves_a_record_and_a_word(
    server: Server, redis_url: str, tmp_path: Path, number: signal.Signals, command: str, said: str
) -> None:
    """The signal comes twice, as when a terminal closes; Ctrl-C is ignored, as in a script's background."""
    message = {"type": "message", "user": "U0OTHER", "channel": "C1", "text": "hello"}
    event = json.dumps({"type": "event_callback", "event": message})
    with server.admin() as client:
        client.xgroup_create("slack_events", "bot", mkstream=True)
        with client.pipeline(transaction=False) as pipeline:
            for n in range(LETTERS):
                pipeline.xadd(DEAD, {"data": event, "abe:group": "bot", "abe:id": f"{n + 1}-0"}, f"{n + 1}-0")
            pipeline.execute()
        words = ["sh", "-c", 'trap "" INT; exec "$@"', "sh", sys.executable, "-m", "abe_redis"]
        with slow(server) as waits, ended(list[Child]()) as children:
            child = Child(
                [*words, *command.split()],
                cwd=tmp_path,
                variables=os.environ | {"REDIS_URL": redis_url},
                stderr=tmp_path / "stderr",
            )
            children.append(child)
            waits()
            if "redrive" in command:  # it announces the stream before its first step
                client.execute_command("CLIENT", "UNPAUSE")
                until(lambda: client.xlen(DEAD) < LETTERS, "the first step")
            child.signal(number)
            child.signal(number)
            client.execute_command("CLIENT", "UNPAUSE")
            assert child.wait() == 130
        done = LETTERS - client.xlen(DEAD)
        assert 0 < done < LETTERS
        assert said in child.stderr
        ((_, fields),) = client.xrange("abe:audit")
    facts = json.loads(fields["facts"])
    assert done in [facts.get(name) for name in ("redriven", "purged", "erased")]
