"""Scripts: how they are read and linted, and sent by their digest, in full only when the server lacks one."""

import hashlib
import importlib.util
import re
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from lupa import lua51
from redis.exceptions import NoScriptError, ResponseError

from abe_redis.streams.scripts import LUA, Script, lines
from tests.needs import needed

ROOT = Path(__file__).parents[3]

SOURCE = "return ARGV[1]"
DIGEST = hashlib.sha1(SOURCE.encode(), usedforsecurity=False).hexdigest()


class Server:
    """Answers with what it is given, or raises it, and keeps what it was sent."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[Any, ...]] = []

    async def execute_command(self, *words: Any) -> Any:
        self.sent.append(words)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def test_a_script_is_sent_by_its_digest_unless_the_whole_is_wanted() -> None:
    script = Script(SOURCE)
    assert script.command(["a", "b"], ["x"]) == ("EVALSHA", DIGEST, 2, "a", "b", "x")
    assert script.command(["a"], ["x"], in_full=True) == ("EVAL", SOURCE, 1, "a", "x")


async def test_a_server_that_knows_it_gets_the_digest() -> None:
    server: Any = Server(b"x")
    assert await Script(SOURCE)(server, ["a"], ["x"]) == b"x"
    assert server.sent == [("EVALSHA", DIGEST, 1, "a", "x")]


async def test_a_server_that_does_not_know_it_gets_the_whole() -> None:
    server: Any = Server(NoScriptError("NOSCRIPT"), b"x")
    assert await Script(SOURCE)(server, ["a"], ["x"]) == b"x"
    assert server.sent == [("EVALSHA", DIGEST, 1, "a", "x"), ("EVAL", SOURCE, 1, "a", "x")]
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await Script(SOURCE)(Server(ResponseError("WRONGTYPE")), ["a"], ["x"])  # type: ignore[arg-type]


async def test_for_each_stream_there_is_an_answer_in_order() -> None:
    server: Any = Server([b"1", b"2"])
    script = Script(SOURCE)
    keys = [key for stream in ("a", "b") for key in (stream, f"{stream}:more")]
    answers = await script.each(
        server, ["a", "b"], ["x"], keys=lambda some: [key for key in keys if key[0] in some]
    )
    assert answers == [b"1", b"2"]
    assert server.sent == [("EVALSHA", DIGEST, 4, *keys, "x")]
    assert await script.each(server, [], ["x"], keys=list) == []


SCRIPTS = sorted(LUA.glob("*.lua"))
PIECES = sorted(LUA.glob("shared/*.lua"))


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_says_what_it_decides_and_what_it_takes(path: Path) -> None:
    header = path.read_text("utf-8").split("\n\n")[0]
    assert all(line.startswith("--") for line in header.splitlines())
    code = "".join(line.text for line in lines(path) if not line.text.startswith("--"))
    for kind in ("KEYS", "ARGV"):
        assert bool(re.search(rf"^-- {kind}  \w", header, re.MULTILINE)) == (kind in code)
    assert "-- Answers " in header


@pytest.mark.parametrize("path", PIECES, ids=lambda path: path.stem)
def test_a_piece_says_what_it_is_for(path: Path) -> None:
    assert re.match(r"-- [A-Z]", path.read_text("utf-8"))


def test_each_script_is_loaded_once() -> None:
    loads = [
        name
        for path in (ROOT / "src").rglob("*.py")
        for name in re.findall(r'Script\.load\("(\w+)"\)', path.read_text("utf-8"))
    ]
    assert sorted(loads) == [path.stem for path in SCRIPTS]


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.stem)
def test_a_script_is_lua_51_as_the_server_runs_it(path: Path) -> None:
    load = lua51.LuaRuntime().eval("loadstring")
    loaded = load("".join(line.text for line in lines(path)))
    assert not isinstance(loaded, tuple), loaded  # of nil and what is wrong


def test_a_piece_that_several_pieces_include_is_there_once(tmp_path: Path) -> None:
    path = tmp_path / "some.lua"
    path.write_text("-- include: note_loss\n-- include: facts\nreturn 1\n")
    script = list(lines(path))
    assert [line.text for line in script].count("local function facts(flat)\n") == 1
    assert (script[-1].text, script[-1].path, script[-1].number) == ("return 1\n", path, 3)
    where = next(line for line in script if line.text == "local function facts(flat)\n")
    assert where.path.read_text("utf-8").splitlines(keepends=True)[where.number - 1] == where.text


@pytest.fixture
def check_lua() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_lua", ROOT / "scripts/check_lua.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_linter_says_where_a_fault_is(
    check_lua: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    needed(shutil.which("luacheck"), "luacheck is missing (Debian: lua-check)")
    shutil.copytree(LUA, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(check_lua, "LUA", tmp_path)
    monkeypatch.setattr("abe_redis.streams.scripts.LUA", tmp_path)
    assert check_lua.main() == 0
    ack = tmp_path / "ack.lua"
    text = ack.read_text("utf-8").replace("group, unpack(ids)", "group, unpack(identifier)")
    ack.write_text(text, encoding="utf-8")
    (tmp_path / "shared/lonely.lua").touch()
    capsys.readouterr()
    assert check_lua.main() == 1
    said = capsys.readouterr().out
    number = next(
        at for at, line in enumerate(ack.read_text("utf-8").splitlines(), 1) if "identifier" in line
    )
    assert f"{ack}:{number}:" in said
    assert "identifier" in said
    assert "lonely.lua: no script includes it" in said


@pytest.mark.parametrize(("ci", "status"), [("", 0), ("true", 1)])
def test_without_luacheck_a_laptop_is_told_and_ci_fails(
    check_lua: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ci: str,
    status: int,
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", ci)
    assert check_lua.main() == status
    assert "luacheck is not installed" in capsys.readouterr().err
