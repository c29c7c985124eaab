"""What others wrote loses what could deceive a model, and secrets."""

import pytest

from abe_redis.untrusted import clean, mask, quoted, shown


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


@pytest.mark.parametrize(
    "secret",
    [
        "xoxb-123456789012-abcdefghijkl",
        "xoxp-1-2-3-abcdef0123456789",
        "xoxe.xoxp-1-Mi0yLTEyMzQ1Njc4OTA",
        "xapp-1-A012345-987654-abcdef",
        "https://hooks.slack.com/services/T000/B000/XXXXXXXX",
        "https://hooks.slack-gov.com/services/T000/B000/XXXXXXXX",
        "XOXB-123456789012-ABCDEF",
    ],
)
def test_secrets_are_masked_wherever_they_stand(secret: str) -> None:
    assert mask(f"use {secret} please") == "use *** please"
    assert secret not in str(shown({"a": [secret, {secret: f"({secret})"}]}))


def test_the_credentials_of_a_url_are_masked_and_the_rest_is_not() -> None:
    assert mask("redis://user:hunter2@host:6379/0") == "redis://***@host:6379/0"
    for harmless in ("xoxo", "https://slack.com/a", "mail me@example.com", "http://host:80/x@y"):
        assert mask(harmless) == harmless


def test_a_field_that_is_a_secret_by_its_name() -> None:
    assert shown({"token": "abc", "n": {"Client_Secret": "x"}, "tokens": 3}) == {
        "token": "***",
        "n": {"Client_Secret": "***"},
        "tokens": 3,
    }
    assert shown({"token": {"of": "appreciation"}}) == {"token": {"of": "appreciation"}}


def test_a_name_stays_in_its_quotes_and_its_line() -> None:
    assert quoted('a"b\nc') == '"a\\"b\\nc"'
    assert len(quoted("x" * 500)) == 103
