"""Exceptions are told briefly, and without secrets."""

from typing import Never

import pytest

from abe_redis.sanitize import exceptions
from abe_redis.sanitize.exceptions import describe, trace


def test_an_error_is_told_in_a_line_of_so_much() -> None:
    assert describe(ValueError()) == "ValueError"
    assert describe(ValueError(" two\n  lines ")) == "ValueError: two lines"
    assert describe(ValueError("x" * 1000)) == f"ValueError: {'x' * 300}"


def test_of_what_is_long_no_more_is_searched_than_is_shown_and_a_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = list[int]()

    def mask(text: str) -> str:
        searched.append(len(text))
        return text

    monkeypatch.setattr(exceptions, "mask", mask)
    for error in (
        ValueError("x" * 5_000_000),
        SystemExit("x" * 5_000_000),
        ExceptionGroup("many", [ValueError(f"{number}" + "x" * 100_000) for number in range(300)]),
    ):
        assert len(describe(error)) <= 330
        assert len(trace(error)) <= 8_000
        assert sum(searched) < 3_000_000
        searched.clear()


def test_members_of_a_large_group_are_counted() -> None:
    group = ExceptionGroup("many", [ValueError(number) for number in range(1_000)])
    assert describe(group).endswith("; and 995 more")


def test_a_group_that_does_not_give_its_members_is_told_all_the_same() -> None:
    class Mute(ExceptionGroup[Exception]):
        @property
        def exceptions(self) -> Never:
            raise SystemExit(4)

    mute = Mute("several", [ValueError()])
    assert describe(mute) == "Mute of exceptions that cannot be shown"
    assert describe(ExceptionGroup("g", [mute])) == "ExceptionGroup of exceptions that cannot be shown"


def test_what_a_program_exits_with_is_told_without_secrets() -> None:
    class Mute:
        def __repr__(self) -> str:
            raise RuntimeError("no words")

    assert describe(SystemExit(3)) == "sys.exit(3)"
    assert describe(SystemExit("token xoxb-123456789012-ab")) == "sys.exit('token ***')"
    assert describe(SystemExit(Mute())) == "sys.exit(something that cannot be shown)"


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
