"""SIGTERM while a command is still importing: those that serve end with 0, others as any program."""

import signal
import subprocess
import sys

import pytest

SCRIPT = """
import os, signal, sys

class Ends:
    def find_spec(self, name, *_):
        if name == "abe_redis.cli.app":
            os.kill(os.getpid(), signal.SIGTERM)

sys.meta_path.insert(0, Ends())
from abe_redis.cli import main
main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to wait for")
@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("worker bot:handle --group g", 0),
        ("-v listen", 0),
        ("mcp --http", 0),
        ("mcp", -signal.SIGTERM),
        ("stats", -signal.SIGTERM),
    ],
)
def test_sigterm_before_a_command_has_started(command: str, code: int) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *command.split()], capture_output=True, text=True, check=False
    )
    said = "abe-redis: SIGTERM came before it had started; it ends.\n" if code == 0 else ""
    assert (ended.returncode, ended.stderr, ended.stdout) == (code, said, "")
