"""The runner that keeps the machine busy beside the tests: nothing of it is left when it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests import under_load
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]


def test_the_loops_are_busy_and_end_with_the_block() -> None:
    with under_load.busy_loops(2) as loops:
        assert [loop.poll() for loop in loops] == [None, None]
    assert all(loop.returncode is not None for loop in loops)


def test_the_loops_end_when_the_block_fails() -> None:
    with pytest.raises(ZeroDivisionError), under_load.busy_loops(1) as loops:
        raise ZeroDivisionError
    assert loops[0].returncode is not None


@pytest.mark.parametrize("code", [0, 3])
def test_the_exit_code_is_the_commands(code: int) -> None:
    assert under_load.run([sys.executable, "-c", f"raise SystemExit({code})"], loops=1) == code


def test_there_are_four_loops_for_each_core(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], int]] = []

    def run(command: list[str], loops: int) -> int:
        asked.append((command, loops))
        return 5

    monkeypatch.setattr(under_load, "run", run)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert under_load.main(["-k", "publish"]) == 5
    finally:
        signal.signal(signal.SIGTERM, before)
    ((command, loops),) = asked
    assert command[1:3] == ["-m", "pytest"]
    assert command[-2:] == ["-k", "publish"]
    assert loops == 12


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_loops_end_with_a_runner_that_is_killed(number: signal.Signals) -> None:
    code = (
        "import signal, sys, time\n"
        "from tests import under_load\n"
        "signal.signal(signal.SIGTERM, under_load._end)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with under_load.busy_loops(2) as loops:\n"
        "    print(*(loop.pid for loop in loops), flush=True)\n"
        "    time.sleep(3600)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as runner:
        try:
            assert runner.stdout is not None
            assert len(runner.stdout.readline().split()) == 2
            runner.send_signal(number)
            runner.communicate(timeout=PATIENCE)  # the loops have its standard error, so it ends with them
        finally:
            runner.kill()
    assert runner.returncode != 0
