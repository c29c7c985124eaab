"""`abe-redis mcp install` and the files that people have: all but our entry stays, to the byte."""

import json
import re
from pathlib import Path

import pytest

from abe_redis.mcp.install.jsonc import Document
from tests.integration.cli.command_runs import run

# What is added stands between « and »; ENTRY is what the server is registered with.
FILES = {
    "lf": '{\n  "mcpServers": {\n    "a": {"x": 1}«,\n    "abe-redis": ENTRY»\n  }\n}\n',
    "crlf": '{\r\n  "mcpServers": {\r\n    "a": {}«,\r\n    "abe-redis": ENTRY»\r\n  }\r\n}\r\n',
    "tabs": '{\n\t"mcpServers": {\n\t\t"a": {}«,\n\t\t"abe-redis": ENTRY»\n\t},\n\t"n": [1,\t2 ]\n}',
    "four": '{\n    "theme": "dark"«,\n    "mcpServers": {\n        "abe-redis": ENTRY\n    }»\n}\n',
    "one-line": '{"n": 1e2, "mcpServers": {"a": {"e": "\\u00e9é"}«, "abe-redis": ENTRY»}}',
    "compact": '{"mcpServers":{"a":{"b":[1,2]}«,"abe-redis":ENTRY»}}\n',
    "comments": '// mine\n{\n  "mcpServers": { // all\n    "a": {}«,» // old«\n    "abe-redis": ENTRY»\n'
    '    /* "b": {},\n    "c": {} */\n  }\n}\n',
    "trailing": '{\n  "mcpServers": {\n    "a": {},«\n    "abe-redis": ENTRY,»\n  },\n}\n',
    "trailing-one-line": '{"mcpServers": {"a": {"b": [1, ], },« "abe-redis": ENTRY,» }, }',
    "bom": '\ufeff{\n  "mcpServers": {«\n    "abe-redis": ENTRY\n  »}\n}\n',
    "empty-object": '{«\n  "mcpServers": {\n    "abe-redis": ENTRY\n  }\n»}\n',
    "only-a-comment": '{\n  "mcpServers": {\n    // here«\n    "abe-redis": ENTRY»\n  }\n}\n',
    "empty": '«{\n  "mcpServers": {\n    "abe-redis": ENTRY\n  }\n}\n»',
    "nested": '{\n  "projects": {"/p": {"mcpServers": {"abe-redis": {}}}}«,\n'
    '  "mcpServers": {\n    "abe-redis": ENTRY\n  }»\n}',
    "duplicates": '{"x": 1, "x": 2, "mcpServers": {"a": {"y": 1, "y": 2}«, "abe-redis": ENTRY»}}',
    "surrogate": '{"x": "\\ud800", "mcpServers": {«"abe-redis": ENTRY»}}',
    "mixed": '{ "mcpServers": {\r\n      "a": {}\t,\n  "b" :{ }«,\r\n  "abe-redis": ENTRY» }\n}\n\n',
    "lines-of-unicode": '{"mcpServers": {"\u2028": "\x7f\x85"«, "abe-redis": ENTRY»}}',
}


@pytest.mark.parametrize("marked", FILES.values(), ids=FILES)
def test_all_else_stays_to_the_byte(tmp_path: Path, marked: str) -> None:
    path = tmp_path / "mcp.json"
    before = re.sub("«.*?»", "", marked, flags=re.DOTALL).encode()
    path.write_bytes(before)
    done = run("mcp", "install", "--client", "cursor", "--file", str(path), "--yes")
    assert done.returncode == 0, done.stderr
    after = path.read_bytes()
    begin, end = re.sub("[«»]", "", marked).encode().split(b"ENTRY")
    assert after.startswith(begin)
    assert after.endswith(end)
    entry = after[len(begin) : len(after) - len(end)].decode()
    assert set(json.loads(entry)) == {"command", "args", "env"}
    assert_style_of(before.decode().removeprefix("\ufeff"), entry)
    (backup,) = path.parent.glob("*.bak")
    assert backup.read_bytes() == before
    again = run("mcp", "install", "--client", "cursor", "--file", str(path), "--yes")
    assert "nothing was changed" in again.stdout
    assert path.read_bytes() == after


def assert_style_of(before: str, entry: str) -> None:
    """The entry has the document's line ends and its indentation, or is in one line as that is."""
    if "\n" not in before.strip() and before.strip() not in {"", "{}"}:
        assert "\n" not in entry
        assert (": " in entry) == (": " in before)
        return
    first = re.search(r"\r\n|\n", before)
    assert set(re.findall(r"\r\n|\n|\r", entry)) == {first[0] if first else "\n"}
    unit = "\t" if "\n\t" in before else "    " if '\n    "theme' in before else "  "
    indents = set(re.findall(r"\n([ \t]*)", entry))
    assert all(set(indent) == set(unit) and len(indent) % len(unit) == 0 for indent in indents)


@pytest.mark.parametrize(
    "text",
    [
        '{"mcpServers": {"abe-redis": {"command": "x", "command": "y"}}}',
        '{"mcpServers": {"abe-redis": {}, "abe-redis": {}}}',
        '{"mcpServers": {}, "mcpServers": {"a": {}}}',
        '{"mcpServers": {"abe-redis": {"env": {"REDIS_URL": "", "REDIS_URL": "x"}}}}',
    ],
)
def test_a_name_twice_on_the_way_is_refused(tmp_path: Path, text: str) -> None:
    assert "more than once in one object, so it is left alone" in refused(tmp_path, text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"mcpServers": {"abe-redis": {"command": "x", "env": []}}}', "has no JSON object under 'env'"),
        ('{"mcpServers": {"abe-redis": null}}', "has no JSON object under 'abe-redis'"),
        ('{"mcpServers": {"abe-redis": {"url": "https://a.example/mcp"}}}', "with a URL"),
        ('{"mcpServers": {}, "n": NaN}', "NaN is not JSON"),
        ('{"n": ' + "[" * 100_000, "nested too deeply"),
        ('{"mcpServers": {},, }', "line 1 column 19"),
        ("{} /* never ends", "cannot be read as JSON"),
    ],
)
def test_a_file_that_is_not_understood_is_refused_with_what_to_add(
    tmp_path: Path, text: str, says: str
) -> None:
    stderr = refused(tmp_path, text)
    assert says in stderr
    assert 'so it is left alone. Add this to it by hand: {"abe-redis": {"command": ' in stderr


def refused(tmp_path: Path, text: str) -> str:
    """What is said about a file that is left as it is."""
    path = tmp_path / "mcp.json"
    path.write_text(text, "utf-8")
    done = run("mcp", "install", "--client", "cursor", "--file", str(path), "--yes", REDIS_URL="redis://h:1")
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert path.read_text("utf-8") == text
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == ["mcp.json"]
    return done.stderr


def test_a_change_that_cannot_be_proven_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from abe_redis import Settings
    from abe_redis.errors import RequestError
    from abe_redis.mcp.install import programs

    monkeypatch.setattr(programs, "put", lambda *_: Document('{"mcpServers": {}}'))
    path = tmp_path / "mcp.json"
    path.write_text('{"theme": "dark"}', "utf-8")
    with pytest.raises(RequestError, match=r"cannot be added safely, so it is left alone\. Add this"):
        programs.Registration.of(path, "cursor", "a", Settings(), [])
