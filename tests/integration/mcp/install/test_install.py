"""`abe-redis mcp install`: an entry in a file that belongs to somebody else."""

import json
import stat
from pathlib import Path
from typing import Any

import pytest

from abe_redis import Settings
from abe_redis.errors import RequestError
from abe_redis.mcp.install.programs import Registration, path_of
from tests.integration.cli.command_runs import run

PLACES = {
    "claude-desktop": ".config/Claude/claude_desktop_config.json",
    "claude-code": "here/.mcp.json",
    "cursor": ".cursor/mcp.json",
    "vscode": "here/.vscode/mcp.json",
}


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.setenv("REDIS_URL", "redis://me:hunter2@redis.example:6380/1")


def servers(path: Path) -> dict[str, Any]:
    whole = json.loads(path.read_text("utf-8"))
    found: dict[str, Any] = whole["servers" if ".vscode" in path.parts else "mcpServers"]
    return found


@pytest.mark.parametrize(("client", "place"), PLACES.items(), ids=PLACES)
def test_it_registers_once_and_keeps_the_secret(client: str, place: str, tmp_path: Path) -> None:
    path = tmp_path / place
    shown = run("mcp", "install", "--client", client, "--dry-run")
    assert shown.returncode == 0
    assert '+    "abe-redis": {' in shown.stdout
    assert "The password in REDIS_URL is set here and not written. " in shown.stderr
    assert "put REDIS_URL=… with its password into a file that only you can read" in shown.stderr
    assert "and give --env-file FILE, too" in shown.stderr
    assert not path.exists()
    done = run("mcp", "install", "--client", client, "--yes")
    assert done.returncode == 0, done.stderr
    entry = servers(path)["abe-redis"]
    assert entry["env"] == {"REDIS_URL": "redis://redis.example:6380/1", "REDIS_USERNAME": "me"}
    assert entry["args"][-1] == "mcp"
    assert Path(entry["command"]).is_absolute()
    assert "hunter2" not in path.read_text("utf-8") + done.stdout + shown.stdout + shown.stderr
    again = run("mcp", "install", "--client", client, "--yes")
    assert "nothing was changed" in again.stdout
    assert [one.name for one in path.parent.glob("*.bak")] == []


def test_entries_of_others_stay(tmp_path: Path) -> None:
    path = tmp_path / ".cursor" / "mcp.json"
    path.parent.mkdir()
    others = {"mcpServers": {"other": {"command": "x", "env": {"A": "é"}}}, "theme": "dark"}
    path.write_text(json.dumps(others, ensure_ascii=False), "utf-8")
    path.chmod(0o600)
    done = run("mcp", "install", "--client", "cursor", "--read-only", "--name", "queue", "--yes")
    assert done.returncode == 0, done.stderr
    whole = json.loads(path.read_text("utf-8"))
    assert whole["theme"] == "dark"
    assert whole["mcpServers"]["other"] == others["mcpServers"]["other"]  # type: ignore[index]
    assert whole["mcpServers"]["queue"]["args"][-2:] == ["mcp", "--read-only"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (backup,) = path.parent.glob("*.bak")
    assert json.loads(backup.read_text("utf-8")) == others
    assert str(backup) in done.stdout


@pytest.mark.parametrize("content", ['{"mcpServers": // mine {}}', "[]", '{"mcpServers": []}', "\xff"])
def test_a_file_that_is_not_understood_is_left_alone(tmp_path: Path, content: str) -> None:
    path = tmp_path / "here" / "file.json"
    path.write_bytes(content.encode("latin-1"))
    done = run("mcp", "install", "--client", "cursor", "--file", str(path), "--yes")
    assert done.returncode == 1
    assert "left alone" in done.stderr
    assert path.read_bytes() == content.encode("latin-1")
    assert list(path.parent.glob("*.bak")) == []


def test_a_command_without_a_terminal_needs_yes(tmp_path: Path) -> None:
    done = run("mcp", "install", "--client", "cursor")
    assert done.returncode == 2
    assert "add --yes" in done.stderr
    assert not (tmp_path / ".cursor").exists()


def test_an_unwritable_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory", "utf-8")
    with pytest.raises(RequestError, match="could not be written"):
        Registration.of(tmp_path / "file" / "mcp.json", "cursor", "a", Settings(), []).write()


def test_every_program_has_its_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sys.platform", "darwin")
    assert path_of("claude-desktop").parts[-4:-1] == ("Library", "Application Support", "Claude")
    monkeypatch.setattr("sys.platform", "win32")
    monkeypatch.setenv("APPDATA", str(tmp_path / "roaming"))
    assert path_of("claude-desktop") == tmp_path / "roaming" / "Claude" / "claude_desktop_config.json"
