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

from abe_redis import Settings
from abe_redis.cli import main
from abe_redis.errors import RequestError
from abe_redis.mcp.install.programs import Registration
from tests.integration.cli.command_runs import run
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
    changed = ours | {"disabled": True, "command": "/old/abe-redis", "args": ["mcp", "--token", "hunter3"]}
    changed["env"] = ours["env"] | {"REDIS_PASSWORD": "hunter4", "REDIS_STREAM_MAXLEN": "7"}
    text = json.dumps({"mcpServers": {"abe-redis": changed}}, indent=2)
    path.write_text(text.replace('"disabled"', '// off\n      "disabled"'), "utf-8")
    done = install(path, "--read-only", REDIS_URL="redis://other.example:1")
    assert done.returncode == 0, done.stderr
    assert "// off" in path.read_text("utf-8")
    path.write_text(path.read_text("utf-8").replace("// off", ""), "utf-8")
    assert entry(path) == changed | {
        "command": ours["command"],
        "args": [*ours["args"], "--token", "hunter3", "--read-only"],
        "env": changed["env"] | {"REDIS_URL": "redis://other.example:1"},
    }
    assert "hunter" not in done.stdout + done.stderr
    assert "REDIS_PASSWORD is set here" not in done.stderr
    assert '         "--token"' in done.stdout
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


LIMITS = ["--log-format", "json", "mcp", "--read-only", "--no-publish", "--streams", "slack_events"]


def limited(client: str, command: list[str], **more: Any) -> dict[str, Any]:
    """A file with an entry that limits what an agent may do."""
    env = {"REDIS_URL": "redis://redis.example:6380/1", "REDIS_USERNAME": "me", **more}
    one = {"command": command[0], "args": command[1:], "env": env}
    return {"servers" if client == "vscode" else "mcpServers": {"abe-redis": one}}


def agreed(path: Path, client: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ("mcp", "install", "--client", client, "--file", str(path), *arguments)
    return run(*command, **environment)


@pytest.mark.promise("An entry that is there keeps what limits an agent")
@pytest.mark.parametrize(
    ("client", "start"),
    [
        ("claude-desktop", ["/old/bin/python3.12", "-P", "-m", "abe_redis"]),
        ("claude-code", ["uvx", "abe-redis[slack]==1.0.0"]),
        ("cursor", [r"C:\old\abe-redis.exe"]),
        ("vscode", ["uv", "--directory", "/x/abe-redis", "run", "abe-redis"]),
    ],
)
def test_what_limits_an_agent_stays_when_redis_moves(path: Path, client: str, start: list[str]) -> None:
    path.write_text(json.dumps(limited(client, [*start, *LIMITS], ABE_REDIS_MCP_READ_ONLY="1")), "utf-8")
    moved = agreed(path, client, "--yes", REDIS_URL="redis://other.example:1")
    assert moved.returncode == 0, moved.stderr
    (servers,) = json.loads(path.read_text("utf-8")).values()
    assert servers["abe-redis"]["args"][-len(LIMITS) :] == LIMITS
    assert servers["abe-redis"]["env"] == {
        "REDIS_URL": "redis://other.example:1",
        "REDIS_USERNAME": "me",
        "ABE_REDIS_MCP_READ_ONLY": "1",
    }
    assert "slack_events" not in moved.stdout
    for removed in ("--read-only", "--no-publish", "--streams"):
        assert f'-        "{removed}"' not in moved.stdout


def test_options_that_are_given_join_those_that_are_there(path: Path, tmp_path: Path) -> None:
    path.write_text(json.dumps(limited("cursor", ["abe-redis", "mcp", "--streams", "a"])), "utf-8")
    file = tmp_path / "mcp.env"
    file.write_text("REDIS_STREAM_GROUP=g\n", "utf-8")
    for _ in range(2):
        done = install(path, "--read-only", "--env-file", str(file), REDIS_URL="")
        assert done.returncode == 0, done.stderr
    assert entry(path)["args"][-5:] == ["--streams", "a", "--read-only", "--env-file", str(file)]
    assert "nothing was changed" in done.stdout


@pytest.mark.parametrize("old", [["--env-file", "/old.env"], ["--env-file=/old.env"]], ids=str)
def test_another_file_of_settings_is_not_agreed_to_by_yes_alone(
    path: Path, tmp_path: Path, old: list[str]
) -> None:
    before = json.dumps(limited("cursor", ["abe-redis", "mcp", *old, "--no-publish"]))
    path.write_text(before, "utf-8")
    file = tmp_path / "mcp.env"
    file.write_text("", "utf-8")
    done = install(path, "--env-file", str(file))
    assert done.returncode == 2
    assert "what the entry's file sets, limits included, no longer holds" in done.stderr
    assert "--yes does not agree to what lets an agent do more" in done.stderr
    assert path.read_text("utf-8") == before
    replaced = install(path, "--env-file", str(file), "--replace", "--read-only")
    assert replaced.returncode == 0
    assert entry(path)["args"][-4:] == ["mcp", "--read-only", "--env-file", str(file)]


def test_limits_go_only_when_that_is_said_and_they_are_named(path: Path) -> None:
    before = json.dumps(limited("cursor", ["abe-redis", *LIMITS], REDIS_STREAM_PATTERNS="slack:a"))
    path.write_text(before, "utf-8")
    shown = agreed(path, "cursor", "--replace", "--dry-run", REDIS_STREAM_PATTERNS="slack:*")
    assert path.read_text("utf-8") == before
    done = install(path, "--replace", REDIS_STREAM_PATTERNS="slack:*")
    assert done.returncode == 0, done.stderr
    assert entry(path)["args"][-1] == "mcp"
    assert entry(path)["env"]["REDIS_STREAM_PATTERNS"] == "slack:*"
    for said in (shown.stderr, done.stderr):
        assert "loses --log-format, --read-only, --no-publish, --streams: the agent may do more" in said
        assert "The entry's REDIS_STREAM_PATTERNS becomes that of this environment." in said


@pytest.mark.parametrize(
    "command",
    [
        ["/home/me/bin/only-looks"],
        ["only-looks", "mcp"],
        ["sh", "-c", "abe-redis mcp --read-only"],
        ["docker", "run", "-i", "abe-redis", "mcp", "--read-only"],
        ["env", "ABE_REDIS_MCP_READ_ONLY=1", "abe-redis", "mcp"],
        ["uv", "run", "--env-file", "limits.env", "abe-redis", "mcp"],
        ["abe-redis", "--log-format", "json"],
    ],
    ids=" ".join,
)
def test_an_entry_that_starts_something_else_is_replaced_only_when_that_is_said(
    path: Path, command: list[str]
) -> None:
    path.write_text(json.dumps(limited("cursor", command)), "utf-8")
    with pytest.raises(RequestError, match="which may have limits of its own: give --replace"):
        Registration.of(path, "cursor", "abe-redis", Settings(), [])
    planned = Registration.of(path, "cursor", "abe-redis", Settings(), ["--read-only"], anew=True)
    assert planned.widens == ["What the entry starts now is replaced, with whatever limits it sets."]
    planned.write()
    assert entry(path)["args"][-2:] == ["mcp", "--read-only"]


@pytest.mark.parametrize("args", ["mcp", ["mcp", 1], None])
def test_arguments_that_are_no_words_are_left_alone(path: Path, args: object) -> None:
    before = json.dumps({"mcpServers": {"abe-redis": {"command": "abe-redis", "args": args}}})
    path.write_text(before, "utf-8")
    done = install(path)
    assert done.returncode == 1
    assert "starts something else" in done.stderr
    assert path.read_text("utf-8") == before


HERE = {
    "REDIS_STREAM_PATTERNS": "slack_events",
    "REDIS_STREAM_GROUP": "bot",
    "ABE_REDIS_MCP_READ_ONLY": "true",
}


def test_a_new_entry_gets_what_is_set_here_and_the_rest_is_named(path: Path, tmp_path: Path) -> None:
    secret = {
        "SLACK_APP_TOKEN": "xapp-hunter3",
        "ABE_REDIS_MCP_TOKEN": "hunter4",
        "REDIS_STREAM_CONSUMER": "x",
    }
    done = install(path, **HERE, **secret, REDIS_OUTBOX="~/outbox", HOME=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert entry(path)["env"] == {
        "REDIS_URL": "redis://redis.example:6380/1",
        "REDIS_USERNAME": "me",
        **HERE,
        "REDIS_OUTBOX": str(tmp_path / "outbox"),
    }
    assert "hunter" not in done.stdout + done.stderr
    assert "The password in REDIS_URL is set here and not written. Until the server gets it" in done.stderr
    assert "REDIS_STREAM_CONSUMER is set here and not written" in done.stderr
    assert "SLACK_APP_TOKEN, ABE_REDIS_MCP_TOKEN are set here and not written" in done.stderr


def test_an_entry_keeps_its_settings_and_those_of_here_are_named(path: Path) -> None:
    install(path)
    code = {"REDIS_URL": "redis://redis.example:6380/1", "REDIS_CREDENTIALS": "bot.secrets:provider"}
    done = install(path, **HERE, **code, SLACK_APP_TOKEN="xapp-hunter3")
    assert "nothing was changed" in done.stdout
    assert f"{', '.join(HERE)} are set here and not written: the entry keeps its own settings." in done.stderr
    assert "REDIS_CREDENTIALS is set here and not written, because it names code" in done.stderr
    assert "SLACK_APP_TOKEN is set here" in done.stderr


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
