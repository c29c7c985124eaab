"""What others wrote loses what could deceive a model, and secrets."""

from typing import Any

import pytest

from abe_redis.sanitize.untrusted import clean, quoted, shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain, ünïcode 日本 🎉", "plain, ünïcode 日本 🎉"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("abc\u202edcba", "abc[U+202E]dcba"),
        ("zero\u200bwidth", "zero[U+200B]width"),
        ("\ufeffmark", "[U+FEFF]mark"),
        ("\U000e0041\U000e0042", "[U+E0041][U+E0042]"),
        ("esc\x1b[31m", "esc[U+001B][31m"),
        ("filler\u3164\u115f", "filler[U+3164][U+115F]"),
        ("variation\ufe01", "variation[U+FE01]"),
        ("line\u2028separator", "line[U+2028]separator"),
        ("lone \ud800", "lone [U+D800]"),
        ("isolate\u2066x\u2069", "isolate[U+2066]x[U+2069]"),
        ("null\x00", "null[U+0000]"),
        ("private \ue000", "private [U+E000]"),
    ],
)
def test_what_is_not_seen_is_shown(text: str, seen: str) -> None:
    assert clean(text) == seen


def test_secrets_are_masked_in_values_and_names_and_then_the_unseen_is_shown() -> None:
    secret = "xoxb\u200b-123456789012\u200b-abcdefghijkl"
    found = shown({"a": [secret, {secret: f"({secret})\u200b"}]})
    assert found == {"a": ["***", {"***": "(***)[U+200B]"}]}


def test_a_field_that_is_a_secret_by_its_name() -> None:
    assert shown({"token": "abc", "n": {"Client_Secret": "x"}, "tokens": 3}) == {
        "token": "***",
        "n": {"Client_Secret": "***"},
        "tokens": 3,
    }
    assert shown({"token": ["abc"], "n": {"bot_access_token": {"is": "abc"}}}) == {
        "token": "***",
        "n": {"bot_access_token": "***"},
    }
    nothing: dict[str, Any] = {
        "token": None,
        "secret": True,
        "password": "",
        "cookie": [],
        "api_key": {},
        "authorization": 0.5,
    }
    assert shown(nothing) == nothing


def test_a_name_stays_in_its_quotes_and_its_line() -> None:
    assert quoted('a"b\nc') == '"a\\"b\\nc"'
    assert len(quoted("x" * 500)) == 103
