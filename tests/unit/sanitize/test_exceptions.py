"""Exceptions are told briefly, and without secrets."""

import pytest

from abe_redis.sanitize.exceptions import describe, trace


def test_an_error_is_told_in_a_line_of_so_much() -> None:
    assert describe(ValueError()) == "ValueError"
    assert describe(ValueError(" two\n  lines ")) == "ValueError: two lines"
    assert describe(ValueError("x" * 1000)) == f"ValueError: {'x' * 300}"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("token xoxb-123456789012-ab is wrong", "token *** is wrong"),
        ("xapp-1-A0123456", "***"),
        ("https://hooks.slack.com/services/T/B/x failed", "*** failed"),
        ("redis://user:secret@host/0", "redis://***@host/0"),
        ("a@b", "a@b"),
    ],
)
def test_secrets_are_masked_in_errors(said: str, told: str) -> None:
    assert describe(ValueError(said)) == f"ValueError: {told}"
    assert trace(ValueError(said)) == f"ValueError: {told}"


def test_the_end_of_a_long_trace_says_most() -> None:
    found = trace(ValueError("x" * 10_000 + "end"))
    assert found == "x" * 7996 + "end", "the line break behind it is none of its words"


def test_where_it_was_raised_is_told() -> None:
    try:
        raise LookupError("here")
    except LookupError as error:
        found = trace(error)
    assert found.startswith("Traceback")
    assert "test_where_it_was_raised_is_told" in found
    assert found.endswith("LookupError: here")


def test_an_exception_that_cannot_be_told_is_told_by_its_type() -> None:
    class Mute(Exception):  # noqa: N818 - what people write
        def __str__(self) -> str:
            raise RuntimeError("no words")

    assert describe(Mute()) == "Mute: (it has a message that cannot be shown)"
    assert trace(Mute())


def test_what_is_no_text_is_told_by_its_escape() -> None:
    odd = ValueError("half \ud83d")
    assert describe(odd) == r"ValueError: half \ud83d"
    assert trace(odd) == r"ValueError: half \ud83d"
