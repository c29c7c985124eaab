"""`abe-redis mcp install` in a file that lives: registered before, changed meanwhile, not to be changed."""

import json
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from abe_redis.cli import main
from tests.integration.cli.test_cli import run
from tests.patience import PATIENCE

OTHERS = {"mcpServers": {"a": {"command": "a", "env": {"TOKEN": "hunter1"}}}}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REDIS_URL", "redis://me:hunter2@redis.example:6380/1")
    directory = tmp_path / "there"
    directory.mkdir()
    return directory / "mcp.json"


def install(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ("mcp", "install", "--client", "cursor", "--file", str(path), *arguments)
    return run(*command, "--yes", **environment)


def entry(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["mcpServers"]["abe-redis"]
    return found


def test_additions_to_our_entry_stay(path: Path) -> None:
    install(path)
    ours = entry(path)
    changed = ours | {"disabled": True, "command": "old", "args": ["mcp", "--token", "hunter3"]}
    changed["env"] = ours["env"] | {"REDIS_PASSWORD": "hunter4", "REDIS_STREAM_MAXLEN": "7"}
    text = json.dumps({"mcpServers": {"abe-redis": changed}}, indent=2)
    path.write_text(text.replace('"disabled"', '// off\n      "disabled"'), "utf-8")
    done = install(path, "--read-only", REDIS_URL="redis://other.example:1")
    assert done.returncode == 0, done.stderr
    assert "// off" in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace("// off", ""), "utf-8")
    assert entry(path) == changed | {
        "command": ours["command"],
        "args": [*ours["args"], "--read-only"],
        "env": changed["env"] | {"REDIS_URL": "redis://other.example:1"},
    }
    assert "hunter" not in done.stdout + done.stderr
    assert "REDIS_PASSWORD is set here" not in done.stderr
    assert '-        "--token"' in done.stdout
    assert '+        "--read-only"' in done.stdout
    assert '+        "REDIS_URL": "redis://other.example:1"' in done.stdout
    assert '         "REDIS_PASSWORD": "***"' in done.stdout
    again = install(path, "--read-only", REDIS_URL="redis://other.example:1")
    assert "nothing was changed" in again.stdout


def test_where_redis_is_stays_unless_it_is_set_here(path: Path) -> None:
    install(path)
    done = install(path, REDIS_URL="")
    assert "nothing was changed" in done.stdout
    assert entry(path)["env"]["REDIS_URL"] == "redis://redis.example:6380/1"


def test_an_entry_without_variables_gets_them(path: Path) -> None:
    path.write_text('{"mcpServers": {"abe-redis": {"type": "stdio"}}}', "utf-8")
    assert install(path).returncode == 0
    ours = entry(path)
    assert list(ours) == ["type", "command", "args", "env"]
    assert ours["env"] == {"REDIS_URL": "redis://redis.example:6380/1", "REDIS_USERNAME": "me"}


@pytest.mark.parametrize("indent", [None, 2])
def test_the_secrets_of_others_are_not_shown(path: Path, indent: int | None) -> None:
    text = json.dumps(OTHERS | {"\u202ename": "\x9b"}, indent=indent, ensure_ascii=False)
    path.write_text(f"{text} // hunter5 \x1b[2J", "utf-8")
    done = install(path)
    assert done.returncode == 0, done.stderr
    assert "hunter" not in done.stdout + done.stderr
    assert '"TOKEN": "***"' in done.stdout
    assert done.stdout.replace("\n", "").isprintable()


@pytest.mark.parametrize("meanwhile", ['{"mcpServers": {"new": {}}}', None])
def test_changes_that_another_program_makes_meanwhile_stay(path: Path, meanwhile: str | None) -> None:
    path.write_text(json.dumps(OTHERS), "utf-8")
    keyboard, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "abe_redis", "mcp", "install", "--client", "cursor", "--file", str(path)],
        stdin=terminal,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as asking:
        assert asking.stderr is not None
        said = b""
        while b"[y/N]" not in said:
            said += os.read(asking.stderr.fileno(), 1000) or pytest.fail(said.decode())
        if meanwhile is None:
            path.unlink()
        else:
            path.write_text(meanwhile, "utf-8")
        os.write(keyboard, b"y\n")
        _, rest = asking.communicate(timeout=PATIENCE)
    os.close(keyboard)
    os.close(terminal)
    assert asking.returncode == 1
    assert b"changed by another program meanwhile, so nothing was written" in rest
    assert files(path) == ({} if meanwhile is None else {"mcp.json": meanwhile})


def files(path: Path) -> dict[str, str]:
    return {one.name: one.read_text("utf-8") for one in path.parent.iterdir()}


def test_a_failed_replacement_leaves_nothing_behind(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.write_text(json.dumps(OTHERS), "utf-8")

    def refuse(_: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    command = ["abe-redis", "mcp", "install", "--client", "cursor", "--file", str(path), "--yes"]
    monkeypatch.setattr("sys.argv", command)
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 1
    assert "could not be written" in capsys.readouterr().err
    assert files(path) == {"mcp.json": json.dumps(OTHERS)}


@pytest.fixture(params=["file", "directory"])
def locked(path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A file that even its owner cannot replace, or in a directory where nobody can write."""
    path.write_text(json.dumps(OTHERS), "utf-8")
    what = path if request.param == "file" else path.parent
    chattr = shutil.which("chattr")
    if not chattr or subprocess.run([chattr, "+i", str(what)], check=False).returncode:
        pytest.skip("No file can be locked here: that takes chattr, a file system that knows it, and root.")
    yield path
    subprocess.run([chattr, "-i", str(what)], check=True)


def test_a_locked_file_is_left_alone_and_nothing_is_written_beside_it(locked: Path) -> None:
    done = install(locked)
    assert done.returncode == 1
    assert "could not be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert files(locked) == {"mcp.json": json.dumps(OTHERS)}


def test_a_link_stays_one(path: Path) -> None:
    real = path.with_name("real.json")
    real.write_text("{}", "utf-8")
    path.symlink_to(real)
    assert install(path).returncode == 0
    assert path.is_symlink()
    assert "abe-redis" in json.loads(real.read_text("utf-8"))["mcpServers"]


@pytest.mark.parametrize(
    "more",
    [
        {"env": {"PYTHONPATH": "."}},
        {"env": {"REDIS_URL": "redis://h", "PythonStartup": "x.py", "PYTHONHOME": "."}},
        {"env": {"LD_PRELOAD": "./x.so"}},
        {"env": {"DYLD_INSERT_LIBRARIES": "./x.dylib"}},
        {"env": {"BASH_ENV": "x"}},
        {"envFile": ".evil"},
    ],
)
def test_an_entry_that_brings_code_of_a_stranger_is_not_made_ours(path: Path, more: dict[str, Any]) -> None:
    text = json.dumps({"mcpServers": {"abe-redis": {"command": "evil", **more}}})
    path.write_text(text, "utf-8")
    done = install(path)
    assert done.returncode == 1
    assert "which may make it run other code" in done.stderr
    assert next(iter(more.get("env", {"envFile": 0}))) in done.stderr or "Python" in done.stderr
    assert path.read_text("utf-8") == text
