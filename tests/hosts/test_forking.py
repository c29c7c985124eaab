"""A process that is forked rather than started is what its test takes it for."""

import json
import os
import select
import signal
import socket
from pathlib import Path

import pytest

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.processes import until
from tests.patience import PATIENCE

PROGRAM = """
import json, os, signal, sys
print(json.dumps([__name__, sys.argv, sys.path[0], os.getcwd(), dict(os.environ), os.getpid()]), flush=True)
print("to stderr", file=sys.stderr)
for line in sys.stdin:
    if line == "wait\\n":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
        print("waits", flush=True)
        signal.pause()
    print(line.strip()[::-1], flush=True)
sys.exit(3)
"""


@pytest.fixture
def program(tmp_path: Path) -> str:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return str(path)


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_begins_and_ends_like_one_that_is_started(start: Start, program: str) -> None:
    sdk = environments.mcp_sdk("2.3")
    variables = {"REDIS_URL": "redis://nobody:1"}
    said = []
    for forked in (False, True):
        child = start(sdk, program, "an argument", variables=variables, forked=forked)
        child.send("grüße")
        assert child.line(1) == "eßürg"
        child.close_stdin()
        assert child.wait() == 3
        assert child.stderr == "to stderr\n"
        said.append(json.loads(child.line(0))[:-1])
    assert said[0] == said[1]


def test_signals_reach_it_and_its_own_end_is_told(start: Start, program: str) -> None:
    child = start(environments.mcp_sdk("2.3"), program, forked=True)
    child.send("wait")
    assert child.line(1) == "waits"
    child.signal(signal.SIGTERM)
    assert child.wait() == 7
    other = start(environments.mcp_sdk("2.3"), program, forked=True)
    os.kill(json.loads(other.line(0))[-1], signal.SIGKILL)
    assert other.wait() == -signal.SIGKILL


def test_it_is_killed_with_what_stands_for_it(start: Start, program: str) -> None:
    child = start(environments.mcp_sdk("2.3"), program, forked=True)
    pid = json.loads(child.line(0))[-1]
    child.signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    until(lambda: not is_there(pid), "the process to be gone")


def test_whoever_is_killed_before_it_heard_its_answer_takes_only_its_own_process_along(
    start: Start, program: str
) -> None:
    other = start(environments.mcp_sdk("2.3"), program, forked=True)
    other.line(0)
    address = environments.mcp_sdk("2.3").fork()[-1]
    job = {"arguments": [program], "environment": {}, "directory": str(Path(program).parent)}
    ours, its = socket.socketpair()
    with ours, its, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(address)
        socket.send_fds(connection, [repr(job).encode() + b"\n"], [its.fileno()] * 3)
        with ours.makefile() as lines:
            pid = json.loads(lines.readline())[-1]
        select.select([connection], [], [], PATIENCE)
        connection.close()  # as the system does; the answer in it is unread
        until(lambda: not is_there(pid), "its process to be gone")
    other.send("there")
    assert other.line(1) == "ereht"


def test_a_job_may_be_large(start: Start, program: str) -> None:
    variables = {f"NUMBER_{number}": "x" * 100_000 for number in range(8)}
    child = start(environments.mcp_sdk("2.3"), program, variables=variables, forked=True)
    assert json.loads(child.line(0))[-2] | variables == json.loads(child.line(0))[-2]
