"""`abe-redis mcp install --env-file`: the server that the entry starts gets its password, and starts."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from abe_redis.mcp.install.edit import cut
from abe_redis.mcp.install.jsonc import Document
from abe_redis.settings import Settings
from tests.integration.cli.command_runs import run

URL = "redis://me:hunter2@redis.example:6380/1"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REDIS_URL", URL)
    return tmp_path / "mcp.json"


def install(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ("mcp", "install", "--client", "cursor", "--file", str(path), *arguments)
    return run(*command, "--yes", **environment)


def entry(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))["mcpServers"]["abe-redis"]
    return found


def as_the_server_reads(path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    ours = entry(path)
    monkeypatch.delenv("REDIS_URL", raising=False)
    for name, value in ours["env"].items():
        monkeypatch.setenv(name, value)
    return Settings(_env_file=ours["args"][ours["args"].index("--env-file") + 1])


def settings_file(tmp_path: Path, *lines: str) -> str:
    file = tmp_path / "secrets.env"
    file.write_text("\n".join(lines) + "\n", "utf-8")
    return str(file)


@pytest.mark.parametrize("first", [False, True], ids=["fresh", "added"])
@pytest.mark.parametrize(
    "lines",
    [(f"REDIS_URL={URL}",), ("REDIS_URL=redis://me@redis.example:6380/1", "REDIS_PASSWORD=hunter2")],
    ids=["in-the-url", "beside-it"],
)
def test_who_follows_the_advice_gets_a_server_that_starts(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lines: tuple[str, ...], *, first: bool
) -> None:
    if first:
        assert "put REDIS_URL=… with its password into a file" in install(path).stderr
    done = install(path, "--env-file", settings_file(tmp_path, *lines))
    assert done.returncode == 0, done.stderr
    assert entry(path)["env"] == {}
    assert "REDIS_URL is set here and not written: " in done.stderr
    assert "cannot connect" not in done.stderr
    again = install(path)
    assert "nothing was changed" in again.stdout
    assert "cannot connect" not in again.stderr
    found = as_the_server_reads(path, monkeypatch)
    assert found.redis_url == "redis://redis.example:6380/1"
    assert found.redis_username == "me"
    assert found.redis_password is not None
    assert found.redis_password.get_secret_value() == "hunter2"


def test_variables_of_the_server_go_to_one_place(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = {"REDIS_URL": "redis://redis.example", "REDIS_PASSWORD": "a", "REDIS_SSL_CA_CERTS": "/ca.pem"}
    said = install(path, **exported).stderr
    assert "put REDIS_URL=…, REDIS_SSL_CA_CERTS=… and REDIS_PASSWORD=… into a file" in said
    file = settings_file(
        tmp_path, "REDIS_URL=rediss://redis.example", "REDIS_PASSWORD=a", "REDIS_SSL_CA_CERTS=/c"
    )
    done = install(path, "--env-file", file, **exported)
    assert done.returncode == 0, done.stderr
    assert "secrets.env says where Redis is, so REDIS_URL, REDIS_SSL_CA_CERTS of the entry go." in done.stderr
    assert as_the_server_reads(path, monkeypatch).redis_url == "rediss://redis.example"


@pytest.mark.parametrize("first", [False, True], ids=["fresh", "added"])
def test_a_password_in_the_file_without_its_url_is_refused(
    path: Path, tmp_path: Path, *, first: bool
) -> None:
    if first:
        install(path)
    before = path.read_bytes() if first else None
    done = install(path, "--env-file", settings_file(tmp_path, "REDIS_PASSWORD=hunter2"))
    assert done.returncode == 2
    assert "sets REDIS_PASSWORD without REDIS_URL, which the entry has" in done.stderr
    assert "Write REDIS_URL into that file as well" in done.stderr
    assert (path.read_bytes() if path.exists() else None) == before


def test_another_user_than_the_entry_has_is_said(path: Path, tmp_path: Path) -> None:
    install(path)
    file = settings_file(tmp_path, "REDIS_URL=redis://admin:a@redis.example:6380/1")
    refused = install(path, "--env-file", file)
    assert refused.returncode == 2
    assert (
        "The entry's REDIS_USERNAME goes: what Redis allows is up to the user in the file." in refused.stderr
    )
    assert entry(path)["env"]["REDIS_USERNAME"] == "me"


def test_credentials_of_code_do_not_belong_into_a_file(path: Path) -> None:
    done = install(path, REDIS_URL="redis://redis.example", REDIS_CREDENTIALS="bot.secrets:provider")
    assert 'add it to the "env" of the entry yourself' in done.stderr
    assert "--env-file" not in done.stderr


CUTS = {
    "first": '{\n  «"a": 1,\n  »"b": 2\n}\n',
    "last": '{\n  "b": 2«,\n  "a": {\n    "x": 1\n  }»\n}\n',
    "only": '{\n  «"a": 1\n»}\n',
    "trailing": '{\r\n  "b": 2,\r\n«  "a": "x,y",\r\n»}\r\n',
    "only-trailing": '{\n«  "a": 1,\n»}\n',
    "one-line-first": '{«"a": 1, »"b": 2}',
    "one-line-last": '{"b": 2«, "a": 1»}',
    "compact": '{"b":2«,"a":1»,"c":3}',
    "comments": '{\n  // of b\n  "b": 2«,» // b, too\n«  "a": 1\n»  // the end\n}\n',
    "comment-beside": '{\n  «"a": 1,» // of a\n  "b": 2\n}\n',
}


@pytest.mark.parametrize("marked", CUTS.values(), ids=CUTS)
def test_only_the_member_is_taken_out(marked: str) -> None:
    before = re.sub("[«»]", "", marked)
    after = cut(Document(before), ["a"])
    expected = re.sub("«.*?»", "", marked, flags=re.DOTALL)
    assert after.text.replace(" ", "") == expected.replace(" ", "")
    assert after.value == {name: value for name, value in Document(before).value.items() if name != "a"}
    assert cut(after, ["a"]) is after
    assert cut(after, ["a", "b"]) is after
