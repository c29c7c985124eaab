"""Files that somebody else has put in the way: of the outbox, and of the registration with a client."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.errors import OutboxError, RequestError
from abe_redis.mcp.install.programs import Registration, path_of
from abe_redis.publishing import outbox_delivery
from abe_redis.publishing.outbox_file import OutboxFile
from abe_redis.publishing.outbox_rows import Row
from abe_redis.streams.publish import Draft
from tests.attacks.tally import Tally
from tests.integration.conftest import until

ROW = Row(Draft("slack_events", {b"data": b"{}"}, "Ev1", "a", 60.0))


@pytest.mark.promise("The outbox is refused when it")
def test_no_file_of_others_becomes_the_outbox(tmp_path: Path) -> None:
    tally = Tally("planting a file where the outbox is")
    victim = tmp_path / "victim"
    victim.write_bytes(b"")
    for end in ("", "-wal", "-shm"):
        for kind in ("link", "dangling link", "pipe"):
            place = tmp_path / f"{kind}{end}"
            place.mkdir(mode=0o700)
            planted = place / f"outbox.db{end}"
            if kind == "pipe":
                os.mkfifo(planted, 0o600)
            else:
                planted.symlink_to(victim if kind == "link" else tmp_path / "nowhere")
            if end:
                (place / "outbox.db").touch(0o600)
            try:
                OutboxFile(place / "outbox.db").append(ROW)
            except OutboxError as error:
                tally.tried(f"{kind} at {end!r}", escaped="does not trust it" not in str(error))
            else:
                tally.tried(f"{kind} at {end!r}", escaped=True)
    assert victim.read_bytes() == b""
    tally.check(least=9)


@pytest.mark.promise("The outbox is refused when it")
def test_an_outbox_where_everybody_may_write_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    file = OutboxFile(tmp_path / "outbox.db")
    (tmp_path / "outbox.db").touch(0o600)
    with pytest.raises(OutboxError, match="may be changed by every user"):
        file.append(ROW)


@pytest.mark.promise("The outbox is refused when it")
def test_an_outbox_that_is_open_to_others_is_closed_to_them(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    path.touch(0o666)
    path.chmod(0o666)
    file = OutboxFile(path)
    file.append(ROW)
    assert path.stat().st_mode & 0o077 == 0
    file.close()


@pytest.mark.promise("The outbox is refused when it")
@pytest.mark.anyio
async def test_a_row_that_somebody_wrote_reaches_no_key_that_is_no_stream(
    tmp_path: Path, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox_delivery, "LOOK_SECONDS", 0.2)
    tally, path = Tally("writing to other keys through the outbox"), tmp_path / "outbox.db"
    file = OutboxFile(path)
    hostile = ["abe:audit", "abe:streams", "dead:{slack_events}", "slack:a}", "a\nb", "\u202ex", "x" * 600]
    for stream in [*hostile, "slack_events"]:
        file.append(Row(Draft(stream, {b"data": b"{}"}, "Ev1", "a", 60.0)))
    file.close()
    async with RedisMessageQueueBackend(Settings(redis_url=redis_url, redis_outbox=path)) as queue:
        redis = (await queue.connections()).commands
        await queue.publish("slack:other", {"type": "message"})

        async def delivered() -> bool:
            with closing(sqlite3.connect(path)) as database:
                query = "SELECT count(*) FROM event WHERE refused IS NULL"
                return not database.execute(query).fetchone()[0]

        await until(delivered)
        for stream in hostile:
            kind = await redis.type(stream)
            entries: Any = [] if kind != b"stream" else await redis.xrange(stream)
            tally.tried(stream, escaped=any(fields.get(b"data") == b"{}" for _, fields in entries))
        assert await redis.xlen("slack_events") == 1
    tally.check(least=7)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that a stranger has filled, in which somebody works."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


@pytest.mark.promise("`abe-redis mcp install` registers the command beside")
@pytest.mark.parametrize("client", ["claude-code", "vscode"])
def test_the_registration_follows_no_link_out_of_the_project(client: str, project: Path) -> None:
    tally = Tally(f"leading the registration with {client} out of the project")
    victim = project.parent / "home" / "settings.json"
    victim.write_text('{"theirs": 1}')
    path = path_of(client)
    targets = [victim, victim.with_name("new.json"), Path(os.path.relpath(victim, path.parent))]
    for target in targets:
        path.parent.mkdir(exist_ok=True)
        path.symlink_to(target)
        try:
            Registration.of(path, client, "abe-redis", Settings(), []).write()
        except RequestError as error:
            tally.tried(str(target), escaped="leaves this project" not in str(error))
        else:
            tally.tried(str(target), escaped=True)
        path.unlink()
    if path.parent != project:
        path.parent.rmdir()
        path.parent.symlink_to(victim.parent)
        with pytest.raises(RequestError, match="leaves this project"):
            Registration.of(path, client, "abe-redis", Settings(), [])
        tally.tried("its directory", escaped=False)
    assert json.loads(victim.read_text()) == {"theirs": 1}
    assert not victim.with_name("new.json").exists()
    tally.check(least=3)


def test_a_link_within_the_project_and_of_the_users_own_is_followed(project: Path) -> None:
    (project / "real.json").write_text("{}")
    path_of("claude-code").symlink_to("real.json")
    Registration.of(path_of("claude-code"), "claude-code", "abe-redis", Settings(), []).write()
    assert "abe-redis" in (project / "real.json").read_text()
    dotfiles = project.parent / "dotfiles.json"
    dotfiles.write_text("{}")
    path_of("cursor").parent.mkdir()
    path_of("cursor").symlink_to(dotfiles)
    Registration.of(path_of("cursor"), "cursor", "abe-redis", Settings(), []).write()
    assert "abe-redis" in dotfiles.read_text()


def test_a_path_that_is_no_file_is_left_alone(project: Path) -> None:
    os.mkfifo(project / ".mcp.json")
    with pytest.raises(RequestError, match="is not a file"):
        Registration.of(path_of("claude-code"), "claude-code", "abe-redis", Settings(), [])


@pytest.mark.promise("`abe-redis mcp install` registers the command beside")
def test_the_registered_command_runs_nothing_of_the_directory_it_is_started_in(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("typer.py", "abe_redis.py", "redis.py", "logging.py"):
        (project / name).write_text("open('escaped', 'w')\nraise SystemExit('hostile code ran')\n")
    planted = project / "bin"
    planted.mkdir()
    (planted / "abe-redis").write_text("#!/bin/sh\ntouch escaped\n")
    (planted / "abe-redis").chmod(0o755)
    monkeypatch.setenv("PATH", f"{planted}:{os.environ['PATH']}")
    tally = Tally("running code of a project")
    for has_script in (True, False):
        with monkeypatch.context() as context:
            if not has_script:
                python = project.parent / "bin" / "python"
                python.parent.mkdir()
                python.symlink_to(sys.executable)
                context.setattr(sys, "executable", str(python))
            registration = Registration.of(
                project / f"{has_script}.json", "claude-code", "abe-redis", Settings(), []
            )
        entry = json.loads(registration.after)["mcpServers"]["abe-redis"]
        command = [entry["command"], *entry["args"], "--help"]
        done = subprocess.run(
            command, cwd=project, capture_output=True, text=True, check=False,
            env={"PATH": os.environ["PATH"], "HOME": str(project.parent)},
        )  # fmt: skip
        tally.tried(" ".join(command), escaped=(project / "escaped").exists() or "hostile" in done.stderr)
        if has_script:
            assert done.returncode == 0, done.stderr
            assert (Path(entry["command"]).parent, entry["args"]) == (Path(sys.executable).parent, ["mcp"])
        else:
            assert entry["args"][:3] == ["-P", "-m", "abe_redis"]
    tally.check(least=2)
