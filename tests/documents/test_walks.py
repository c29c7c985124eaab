"""What the documents tell people to do, done."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

from tests.command_line import run_command
from tests.hosts.environments import run_uv
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://github.com/Chisanan232/abe-redis"
TUTORIAL = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")


def blocks(text: str) -> list[tuple[str, str]]:
    """The snippets of a document, with their languages."""
    return re.findall(r"^```(\w+)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def git(directory: Path, *arguments: str) -> None:
    person = ("-c", "user.name=test", "-c", "user.email=test@localhost")
    subprocess.run(["git", *person, *arguments], cwd=directory, check=True, capture_output=True)


@pytest.fixture
def git_finds_this_tree(tmp_path: Path) -> dict[str, str]:
    """Variables with which git takes this tree, with uncommitted changes, for the repository on GitHub."""
    run_uv("build", "--sdist", "--out-dir", str(tmp_path), str(ROOT))
    (sdist,) = tmp_path.glob("*.tar.gz")
    shutil.unpack_archive(sdist, tmp_path, filter="data")
    tree = tmp_path / sdist.name.removesuffix(".tar.gz")
    for arguments in (("init", "--quiet"), ("add", "--all"), ("commit", "--quiet", "--message", "This tree")):
        git(tree, *arguments)
    config = tmp_path / "gitconfig"
    config.write_text(f'[url "file://{tree}"]\n\tinsteadOf = {REPOSITORY}\n', encoding="utf-8")
    return {"GIT_CONFIG_GLOBAL": str(config)}


_TIMEOUT = """#!/bin/sh
# In place of a number of seconds, which a slow machine needs more of: until the group has nothing left to do.
shift
"$@" & worker=$!
until abe-redis stats --json | python -c '
import json, sys
groups = [group for stream in json.load(sys.stdin)["streams"] for group in stream["groups"]]
sys.exit(not groups or any(group["pending"] or group["lag"] != 0 for group in groups))
'; do kill -0 $worker || exit 1; sleep 1; done
kill $worker
wait $worker
exit 124
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the tutorial's shell is that of Linux and macOS")
@pytest.mark.heavy
@pytest.mark.long
@pytest.mark.timeout(20 * PATIENCE)  # it downloads and builds what it installs
def test_the_tutorial_from_a_bare_machine_to_a_working_bot(
    tmp_path: Path, git_finds_this_tree: dict[str, str]
) -> None:
    """Every command as it stands, in one shell; `timeout` ends a worker that has nothing to do."""
    bare = tmp_path / "bin"
    bare.mkdir()
    (bare / "timeout").write_text(_TIMEOUT, encoding="utf-8")
    (bare / "timeout").chmod(0o755)
    (bare / "python3").symlink_to(Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}")
    script = ["set -e"]
    for number, (language, body) in enumerate(blocks(TUTORIAL)):
        if language == "sh":
            # `timeout` says 124 when it had to end a worker, which is what it is there for.
            bounded = re.sub(r"^(timeout .*)$", r"\1 || test $? = 124", body, flags=re.MULTILINE)
            script += [f"echo '<block {number}>'", bounded]
        elif language == "python":
            script.append(f"cat > bot.py <<'EOF'\n{body}EOF")
    bot = tmp_path / "home"
    bot.mkdir()
    environment = {
        "PATH": f"{bare}:/usr/bin:/bin",
        "HOME": str(bot),
        "COLUMNS": "120",
        "PIP_NO_COMPILE": "1",  # Python compiles what is used
    } | {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_"))}
    environment |= git_finds_this_tree
    text = "\n".join(script).replace("embedded:///tmp/abe-redis-tutorial", f"embedded://{tmp_path}/data")
    result = subprocess.run(
        ["sh", "-c", text],
        cwd=bot,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=19 * PATIENCE,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    said = dict(re.findall(r"<block (\d+)>\n(.*?)(?=<block|\Z)", result.stdout, re.DOTALL))
    in_order = [said[number] for number in sorted(said, key=int)]
    install, first, publish, run_it, fail, mend, agent = in_order
    assert "Successfully installed" in install
    assert "No stream exists yet: nothing was published." in first
    assert "already there as" in publish
    assert run_it.count("answering 'hello bot' in C1") == 1
    assert "answering 'hello again' in C1" in fail
    assert "please fail" not in fail.replace("app_mention in C1 by U1: 'please fail'", "")
    assert "after 5 deliveries" in fail
    assert "I do not know how to do that" in fail
    assert "went back to work" in mend
    assert "answering 'please fail' in C1" in mend
    assert re.search(r"slack_events\s+│\s+ok", mend)
    assert '"abe-redis"' in agent
    for number, body in enumerate(body for language, body in blocks(TUTORIAL) if language == "console"):
        assert "slack-webhook-server" in body, number  # which the tests of the host run


def test_every_install_line_works_before_and_after_the_release() -> None:
    """Until 1.0.0 is released, PyPI has 0.1.0 only, without the extras and the command."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    lines = [
        (path.name, line)
        for path in (ROOT / "README.md", *ROOT.glob("docs/*.md"), *ROOT.glob("examples/*.py"))
        for line in re.findall(
            r"pip install (?:--\S+ )*(\S*abe-redis[^`\n#]*)", path.read_text(encoding="utf-8")
        )
    ]
    assert len(lines) > 6
    for name, line in lines:
        released = "dev" not in version
        assert (REPOSITORY not in line) if released else (f"@ git+{REPOSITORY}" in line), (name, line)


@pytest.mark.parametrize("page", ["agents", "production", "testing", "metrics", "bolt", "slack-doors"])
def test_the_snippets_of_a_page_run(page: str, redis_url: str, tmp_path: Path) -> None:
    found = blocks((ROOT / f"docs/{page}.md").read_text(encoding="utf-8"))
    environment = os.environ | {"REDIS_URL": redis_url, "HOME": str(tmp_path)}
    for language, body in found:
        if language == "python":
            program = ["-c", body]
            if "def test_" in body:
                (tmp_path / "test_page.py").write_text(body, encoding="utf-8")
                program = ["-m", "pytest", "-q", "-p", "no:cacheprovider", str(tmp_path / "test_page.py")]
            command = [sys.executable, "-W", "error", *program]
            ran = subprocess.run(command, env=environment, cwd=tmp_path, check=False, timeout=PATIENCE)
            assert ran.returncode == 0, body
        if language == "sh":
            for line in body.splitlines():
                done = run_command(*shlex.split(line)[1:], env=environment)
                # The doctor finds something in every test server: that nothing is written to disk.
                assert done.returncode == 0 or "doctor" in line, (line, done.stderr)


@pytest.mark.parametrize(
    "page", ["tutorial", "agents", "production", "metrics", "slack-mcp", "command-line", "bolt"]
)
def test_every_command_that_is_shown_exists_with_its_options(page: str) -> None:
    """Also those that are not run, since they serve, or name somebody's host."""
    text = (ROOT / f"docs/{page}.md").read_text(encoding="utf-8")
    shown = re.findall(
        r"abe-redis (?:--log-format json )?((?:mcp|worker|read|publish|stats|dead|top)\b[^`\n]*)", text
    )
    for line in shown:
        words = shlex.split(line.replace("…", " ").replace("'", "'" if line.count("'") % 2 == 0 else ""))
        command = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
        if command[0] not in {"dead", "group", "mcp"}:
            command = command[:1]
        helped = help_of(*command)
        for option in re.findall(r"(?<!\S)(--[a-z-]+)", line):
            assert option in helped, (line, option)


@cache
def help_of(*command: str) -> str:
    """What `--help` says of a command, which the pages show in many lines."""
    helped = run_command(*command, "--help", env=os.environ | {"COLUMNS": "300"})
    assert helped.returncode == 0, command
    return helped.stdout
