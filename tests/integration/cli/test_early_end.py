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


INTERRUPTED = "Interrupted before it had started; nothing was done."


@pytest.mark.parametrize("when", ["abe_redis.cli", "abe_redis.errors", "typing", "typer"])
@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_while_it_imports_is_a_sentence(when: str, *, as_json: bool) -> None:
    """From the first import on that its entry point makes: it comes before all that take long."""
    script = SCRIPT.replace("abe_redis.cli.app", when).replace("SIGTERM", "SIGINT")
    script = script.replace("from abe_redis.cli import main", "from abe_redis.__main__ import main")
    ended = subprocess.run(
        [sys.executable, "-S", "-c", f"import sys; sys.path = {sys.path}\n{script}", "stats"]
        + ["--json"] * as_json,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ended.returncode, ended.stderr) == (130, f"abe-redis: {INTERRUPTED}\n")
    assert ended.stdout == (f'{{"error": "{INTERRUPTED}"}}\n' if as_json else "")


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
