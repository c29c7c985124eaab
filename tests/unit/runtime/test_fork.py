"""Forks: whoever registered hears of each, whatever others do."""

import os
import subprocess
import sys

import pytest

from abe_redis.runtime import fork
from tests.patience import PATIENCE

SCRIPT = """
import os, sys
from abe_redis.runtime import fork

class Told:
    def __init__(self): self.heard = []
    def before_fork(self): pass
    def after_fork(self): self.heard.append("after_fork")
    def forked(self): self.heard.append("forked")

class Broken(Told):
    def after_fork(self): raise RuntimeError("broken")
    def forked(self): raise RuntimeError("broken")

every = [Told(), Broken(), Told()]
for one in every:
    fork.hears_of_forks(one)
child = os.fork()
fork.hears_of_forks(Told())  # which waits for ever while the module is locked
if child != 0:
    os.waitpid(child, 0)  # so that their lines do not mix
print("child" if child == 0 else "parent", every[0].heard, every[2].heard, flush=True)
if child == 0:
    os._exit(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no forks")
def test_one_that_fails_keeps_nobody_else_from_hearing_of_a_fork() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout.splitlines() == [
        "child ['forked'] ['forked']",
        "parent ['after_fork'] ['after_fork']",
    ]


@pytest.mark.parametrize(
    ("error", "code"),
    [(None, 0), (SystemExit(), 0), (SystemExit(3), 3), (SystemExit("why"), 1), (LookupError(), 1)],
)
def test_a_child_ends_as_its_code_does(
    monkeypatch: pytest.MonkeyPatch, error: BaseException | None, code: int
) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    fork.end_if_child(fork.generation(), error)
    assert codes == [], "nobody has forked"
    fork.end_if_child(fork.generation() - 1, error)
    assert codes == [code]
