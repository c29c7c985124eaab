"""JSON with comments: it is read as it is meant, and a change of its text changes nothing else."""

import json
import random
import re
from typing import Any

import pytest

from abe_redis.mcp.install.difference import masked
from abe_redis.mcp.install.edit import put
from abe_redis.mcp.install.jsonc import Document, JsoncError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        (" \r\n", {}),
        ("// nothing yet", {}),
        ('{"a": 1, // one\n"b": [1, 2,], /* two\nlines */}', {"a": 1, "b": [1, 2]}),
        (
            '{"a": "// no comment, /* none */ ,]", "b\\"//": "\\\\"}',
            {"a": "// no comment, /* none */ ,]", 'b"//': "\\"},
        ),
        ('{"a": "\\ud800"}', {"a": "\ud800"}),
        ('{"a": /**/ 1e2 /***/ , }', {"a": 100.0}),
        ("[true,\nnull,\n]", [True, None]),
        ("{}//", {}),
    ],
)
def test_json_with_comments_is_parsed(text: str, value: object) -> None:
    assert Document(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{,}",
        "[,]",
        '{"a": 1,, }',
        '{"a": ,}',
        '{"a" 1}',
        "{} {}",
        '{"a": "b // }',
        "{} /* no end",
        '{"a": NaN}',
        "{'a': 1}",
        '{"a": "line\nbreak"}',
        "\xa0{}",
        "/",
        '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"a": ' + "9" * 5_000 + "}",
    ],
)
def test_a_broken_file_is_refused(text: str) -> None:
    with pytest.raises(JsoncError, match="cannot be read as JSON"):
        Document(text)


def test_it_says_where_it_is_broken() -> None:
    with pytest.raises(JsoncError, match="line 3 column 6"):
        Document('/* one\ntwo */\n{"a" 1}')


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"a": {}, "a": {"b": 1}}', "'a' more than once"),
        ('{"a": {"b": 1, "\\u0062": 2}}', "'b' more than once"),
        ('{"a": [1]}', "has no JSON object under 'a'"),
        ("[1]", "has no JSON object$"),
    ],
)
def test_a_way_that_is_not_clear_is_refused(text: str, why: str) -> None:
    with pytest.raises(JsoncError, match=why):
        put(Document(text), ("a", "b"), 3)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('{"a": {"b": 1}}', '{"a": {"b": [1, {"x": 2}]}}'),
        ('{"a":{"b":1}}', '{"a":{"b":[1,{"x":2}]}}'),
        (
            '{\n\t"a": {\n\t\t"b": [ // gone\n\t\t]\n\t}\n}',
            '{\n\t"a": {\n\t\t"b": [\n\t\t\t1,\n\t\t\t{\n\t\t\t\t"x": 2\n\t\t\t}\n\t\t]\n\t}\n}',
        ),
        ('{"a": {}}', '{"a": {"b": [1, {"x": 2}]}}'),
        ('{"a": {/* c */}}', '{"a": {/* c */"b": [1, {"x": 2}]}}'),
        ('{"a": {"c": 1 /* c */,}}', '{"a": {"c": 1 /* c */, "b": [1, {"x": 2}],}}'),
    ],
)
def test_it_is_written_in_the_style_that_is_there(before: str, after: str) -> None:
    assert put(Document(before), ("a", "b"), [1, {"x": 2}]).text.replace(", }", ",}") == after


def test_half_a_character_can_be_written() -> None:
    assert put(Document("{}"), ("é\udcff",), "\ud800").text == '{\n  "é\\udcff": "\\ud800"\n}'


def test_only_names_and_what_is_asked_for_are_shown() -> None:
    text = """{ // token abc
  "a": {"PASSWORD": "abc", "PIN": 12.5e3, "args": ["-e", "--token", "abc", "--token=abc", "mcp"]},
  "b": {"c": ["abc", 1]}, /* abc
  abc */ "d": [true, null, "\\"abc"]
}"""
    shown = masked(Document(text), {("b", "c"): None, ("x", "y"): None})
    assert (
        shown
        == """{ // ***
  "a": {"PASSWORD": "***", "PIN": "***", "args": ["-e", "--token", "***", "***", "mcp"]},
  "b": {"c": ["abc", 1]}, /* *** */ "d": [true, null, "***"]
}"""
    )


class Writer:
    """Writes JSON as nobody would."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._newline = self._random.choice(["\n", "\r\n", "\r"])

    def between(self) -> str:
        comments = ['// } , "', "// é", "//"]
        choices = ["", "", "", " ", "\t", self._newline, '/* { , " */', f"/*{self._newline}*/"]
        choices += [comment + self._newline for comment in comments]
        return "".join(self._random.choices(choices, k=self._random.randrange(3)))

    def value(self, depth: int) -> Any:
        kinds = ["text", "number", "none"] + ["object", "object", "list"] * (depth < 3)
        match self._random.choice(kinds) if depth else "object":
            case "text":
                return self._random.choice(["", "//", "/*", 'a\\"b', ",}", "\ud800", "é", ": ,]"])
            case "number":
                return self._random.choice([0, -1.5, 1e300, True])
            case "list":
                return [self.value(depth + 1) for _ in range(self._random.randrange(3))]
            case "object":
                names = self._random.sample(["a", "b", "c//", 'd"'], self._random.randrange(4))
                return {name: self.value(depth + 1) for name in names}
        return None

    def written(self, value: Any) -> str:
        if isinstance(value, dict):
            parts = [
                f"{json.dumps(key)}{self.between()}:{self.between()}{self.written(one)}"
                for key, one in value.items()
            ]
            return self._joined("{", parts, "}")
        if isinstance(value, list):
            return self._joined("[", [self.written(one) for one in value], "]")
        return json.dumps(value)

    def _joined(self, begin: str, parts: list[str], end: str) -> str:
        spaced = [self.between() + part + self.between() for part in parts]
        trailing = "," + self.between() if parts and self._random.random() < 0.3 else self.between()
        return begin + ",".join(spaced) + trailing + end


def comments(text: str) -> list[str]:
    found = re.findall(r'"(?:[^"\\]|\\.)*"|(//[^\r\n]*|/\*.*?\*/)', text, re.DOTALL)
    return [comment for comment in found if comment]


@pytest.mark.parametrize("seed", range(400))
def test_whatever_is_there_stays(seed: int) -> None:
    writer = Writer(seed)
    value = writer.value(0)
    text = writer.between() + writer.written(value) + writer.between()
    document = Document(text)
    assert document.value == value
    inner = value.get("a", {})
    if not isinstance(inner, dict) or "new" in inner:
        return
    changed = put(document, ("a", "new"), {"x": ["é"]})
    assert changed.value == value | {"a": inner | {"new": {"x": ["é"]}}}
    assert comments(changed.text) == comments(text)
    rest = iter(changed.text)
    assert all(char in rest for char in text), "something that was there is not any more"
    assert put(changed, ("a", "new"), {"x": ["é"]}) is changed
    again = put(changed, ("a", "new", "x"), [])
    assert again.text == changed.text.replace(*written(changed))


def written(document: Document) -> tuple[str, str]:
    """The list that was put there, and what stands there when it is emptied."""
    member = document.find(("a", "new", "x"))[-1]
    return document.text[member.key_start : member.end], document.text[member.key_start : member.start] + "[]"
