"""The house: which package may import which, who may talk to Redis, and how large its rooms are."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src/abe_redis"
FILES = sorted(PACKAGE.rglob("*.py"))


def layers() -> list[str]:
    """The packages from the top to the bottom, as the contract has them."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contract = project["tool"]["importlinter"]["contracts"][0]
    assert contract["type"] == "layers"
    return [layer.strip("()") for layer in contract["layers"]]


def test_the_architecture_page_draws_the_contract() -> None:
    tree = (ROOT / "docs/architecture.md").read_text("utf-8").split("```")[1]
    drawn = re.findall(r"^    (\w+)(?:/|\.py) ", tree, re.MULTILINE)
    there = [layer for layer in layers() if list(PACKAGE.glob(layer)) or list(PACKAGE.glob(f"{layer}.py"))]
    assert drawn == there


def test_the_architecture_page_names_modules_that_there_are() -> None:
    tree = (ROOT / "docs/architecture.md").read_text("utf-8").split("```")[1]
    named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", tree.partition("tests/ ")[0]))
    assert named - {one.stem for one in (ROOT / "src").rglob("*")} == set()


def lint(source: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache", "--no-logo", ROOT / "pyproject.toml"],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )


WRONG = {
    "events/codec.py": (
        "from abe_redis.streams import names",
        "abe_redis.events.codec -> abe_redis.streams.names",
    ),
    "client/tls.py": ("import abe_redis.backend", "abe_redis.client.tls -> abe_redis.backend"),
    "mcp/overview_length.py": (
        "from abe_redis.cli import common",
        "abe_redis.mcp.overview_length -> abe_redis.cli.common",
    ),
    "cli/read.py": ("from abe_redis.mcp import text", "abe_redis.cli.read -> abe_redis.mcp "),
    "worker/retry.py": ("import redis", "abe_redis.worker.retry -> redis "),
    "streams/lease.py": ("from abe_redis import EventWorker", "abe_redis.streams.lease -> abe_redis "),
    "cli/output.py": ("from abe_redis.cli import failure", "No cycles are allowed in abe_redis.cli.\n"),
    "stray.py": ("import json", "not listed as layers:\n\n- abe_redis.stray\n"),
}
"""Imports that no module may have, and what the check says about each."""


def test_the_check_names_each_module_that_imports_what_it_may_not(tmp_path: Path) -> None:
    """All in one run of it, which takes a second."""
    shutil.copytree(PACKAGE, tmp_path / "abe_redis", ignore=shutil.ignore_patterns("__pycache__"))
    for path, (line, _) in WRONG.items():
        with (tmp_path / "abe_redis" / path).open("a", encoding="utf-8") as file:
            file.write(f"\n{line}\n")
    done = lint(tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    said = done.stdout[done.stdout.index("Broken contracts") :]
    assert [path for path, (_, words) in WRONG.items() if words not in said] == [], said


def calls(path: Path) -> Iterator[tuple[int, str]]:
    """The methods that a file calls, and what `execute_command` is given first."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield node.lineno, node.func.attr
            if node.func.attr == "execute_command":
                for word in ast.walk(node.args[0]) if node.args else ():
                    if isinstance(word, ast.Constant) and isinstance(word.value, str | bytes):
                        said = word.value if isinstance(word.value, str) else word.value.decode()
                        yield node.lineno, said.lower()


ON_STREAMS = re.compile(
    r"x(ack|ackdel|add|autoclaim|claim|del|delex|group|info|len|nack|pending|range|read|readgroup|revrange|setid|trim)"
    r"(_\w+)?"
)


def test_only_the_streams_package_sends_commands_on_streams() -> None:
    """The doctor tries commands on keys that nobody has; what it asks about real streams is in `streams`."""
    others = [path for path in FILES if path.parts[len(PACKAGE.parts)] not in {"streams", "client"}]
    sent = [(path, line, name) for path in others for line, name in calls(path) if ON_STREAMS.fullmatch(name)]
    assert sent == []


def test_a_command_on_a_stream_would_be_seen(tmp_path: Path) -> None:
    path = tmp_path / "some.py"
    path.write_text(
        "redis.xadd('s', {})\npipeline.xinfo_groups('s')\nredis.execute_command(b'XREADGROUP')\nxs()\n"
    )
    seen = [name for _, name in calls(path) if ON_STREAMS.fullmatch(name)]
    assert seen == ["xadd", "xinfo_groups", "xreadgroup"]


def test_the_root_is_small() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8


def test_no_file_is_longer_than_one_reads_at_once() -> None:
    of_tests = (ROOT / "tests").rglob("*.py")
    longer = [
        str(path.relative_to(ROOT))
        for path in [*FILES, *of_tests]
        if len(path.read_text("utf-8").splitlines()) > 350
    ]
    assert longer == []
