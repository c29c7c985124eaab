"""What others wrote loses what could deceive a model, and secrets."""

from typing import Any

import pytest

from abe_redis.sanitize.untrusted import clean, quoted, shown


@pytest.mark.promise("invisible and bidirectional characters are shown as `[U+202E]`")
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
def test_invisible_characters_become_visible(text: str, seen: str) -> None:
    assert clean(text) == seen


ENGLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"


@pytest.mark.promise("invisible and bidirectional characters are shown as `[U+202E]`")
@pytest.mark.parametrize(
    "text",
    [
        "\u2764\ufe0f",  # a red heart
        "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",  # a family
        "\U0001f469\U0001f3fd\u200d\U0001f4bb",  # somebody at a computer, with a skin's colour
        "\U0001f3f3\ufe0f\u200d\U0001f308",  # a rainbow flag
        "\u2764\ufe0f\u200d\U0001f525",
        "\U0001f575\U0001f3fd\u200d\u2642\ufe0f",
        "\U0001f3c3\u200d\u27a1\ufe0f",
        "1\ufe0f\u20e3 #\ufe0f\u20e3",  # keycaps
        "\u260e\ufe0e",
        "\U0001f1e9\U0001f1ea",
        ENGLAND,
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",  # Persian: I want
        "\u062e\u0627\u0646\u0647\u200c\u0627\u06cc",
        "\u0915\u094d\u200d\u0937",  # Hindi: ksha, half
        "\u0915\u094d\u200c\u0937",
        "\u0dc1\u0dca\u200d\u0dbb\u0dd3",  # Sinhala: shri
        "\u0d05\u0d35\u0d28\u0d4d\u200d \u0d35",  # Malayalam: a chillu at the end of a word
    ],
    ids=ascii,
)
def test_ordinary_writing_stays_whole(text: str) -> None:
    assert clean(text) == text
    assert shown({text: f"so: {text}!"}) == {text: f"so: {text}!"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("a\u200db", "a[U+200D]b"),
        ("a\u200cb", "a[U+200C]b"),
        ("\u200d", "[U+200D]"),
        ("\U0001f469\u200d", "\U0001f469[U+200D]"),
        ("\u200d\U0001f469", "[U+200D]\U0001f469"),
        ("\U0001f469\u200d\u200d\U0001f469", "\U0001f469[U+200D][U+200D]\U0001f469"),
        ("\u2764\ufe0f\ufe0f", "\u2764\ufe0f[U+FE0F]"),
        ("\u2764\ufe01", "\u2764[U+FE01]"),
        ("a\ufe0f 1\ufe0f", "a[U+FE0F] 1[U+FE0F]"),
        ("\u0645\u200c\u200c\u0646", "\u0645[U+200C][U+200C]\u0646"),
        ("\u0645\u200c a", "\u0645[U+200C] a"),
        ("\u0645\u200da", "\u0645[U+200D]a"),
        ("\u0645\u200d\u0915", "\u0645[U+200D]\u0915"),
        ("\u0645\u200b\u0646", "\u0645[U+200B]\u0646"),
        ("\U0001f469\U000e0041", "\U0001f469[U+E0041]"),
        ("\U0001f3f4\U000e0061\U000e007f", "\U0001f3f4[U+E0061][U+E007F]"),
        ("\u6f22\U000e0100", "\u6f22[U+E0100]"),
    ],
    ids=ascii,
)
def test_a_joiner_that_joins_nothing_becomes_visible(text: str, seen: str) -> None:
    assert clean(text) == seen


@pytest.mark.promise("These are masked towards the model")
def test_joiners_hide_no_secret() -> None:
    secret = "xoxb-123456789012-\u2764\ufe0f\u200d\U0001f525abcdefghijkl"
    assert "123456789012" not in shown(secret)
    assert shown("xoxb\u200d-123456789012-abcdefghijkl") == "***"


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


@pytest.mark.promise(
    "The names of streams, groups and consumers and the reasons of dead letters are treated alike."
)
def test_a_name_stays_in_its_quotes_and_its_line() -> None:
    assert quoted('a"b\nc') == '"a\\"b\\nc"'
    assert len(quoted("x" * 500)) == 103
