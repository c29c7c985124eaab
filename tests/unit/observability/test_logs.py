"""A record is one line without secrets, whoever logged it and whatever is in it."""

import io
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

from abe_redis.observability import logs
from abe_redis.observability.logs import JsonFormatter, TextFormatter

EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202egnp\u2028\u2066\U000e0041\r\n"
    "2026-11-26 00:00:00 INFO abe_redis: forged"
)
SECRET = "xoxb-123456789012-abcdefghijkl"


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except type(error) as caught:
        return caught


class Odd:
    def __repr__(self) -> str:
        return EVIL + SECRET


RECORDS: dict[str, dict[str, Any]] = {
    "message": {"msg": EVIL + SECRET},
    "arguments": {"msg": "said %s", "args": (EVIL + SECRET,)},
    "an object": {"msg": "said %r", "args": (Odd(),)},
    "logger": {"name": EVIL + SECRET, "msg": "hello"},
    "traceback": {"msg": "failed", "exc": raised(ValueError(EVIL + SECRET))},
    "group": {"msg": "failed", "exc": raised(ExceptionGroup(EVIL, [ValueError(SECRET)]))},
    "extra": {"msg": "hello", "extra": {"said": EVIL, "token": "hunter2", "deep": [{EVIL: (SECRET, Odd())}]}},
    "stack": {"msg": "hello", "sinfo": EVIL + SECRET},
    "no number": {
        "msg": "hello",
        "extra": {"rate": float("nan"), "keys": {("a", 1): {2}}, "raw": EVIL.encode()},
    },
}


def record(name: str = "foreign", msg: object = "", **more: Any) -> logging.LogRecord:
    exc = more.get("exc")
    return logging.getLogger("any").makeRecord(
        name,
        logging.ERROR,
        "somewhere.py",
        1,
        msg,
        more.get("args", ()),
        (type(exc), exc, exc.__traceback__) if exc else None,
        extra=more.get("extra"),
        sinfo=more.get("sinfo"),
    )


def test_the_time_of_a_line_is_that_of_the_commands_and_says_so() -> None:
    at = record()
    at.created, at.msecs = 1732000000.5, 500
    assert TextFormatter("%(asctime)s").format(at) == "2024-11-19 07:06:40,500 UTC"


@pytest.mark.parametrize("what", RECORDS)
@pytest.mark.parametrize(
    "formatter", [lambda: TextFormatter("%(asctime)s %(name)s: %(message)s"), JsonFormatter]
)
def test_a_record_is_one_printable_line_without_a_secret(
    what: str, formatter: Callable[[], logging.Formatter]
) -> None:
    said = formatter().format(record(**RECORDS[what]))
    assert said.isprintable(), said
    assert SECRET[5:] not in said
    assert "hunter2" not in said


@pytest.mark.parametrize("what", RECORDS)
def test_a_record_as_json_is_ascii_and_nothing_that_it_holds_controls_a_terminal(what: str) -> None:
    said = JsonFormatter().format(record(**RECORDS[what]))
    assert said.isascii()
    found = json.loads(said, parse_constant=pytest.fail)
    assert found["level"] == "ERROR"
    assert {"message", "template", "time", "logger"} <= found.keys()
    for text in (
        found["message"],
        found["template"],
        *found.get("exception", {}).get("trace", "").split("\n"),
    ):
        assert text.isprintable(), text


def test_ordinary_writing_stays_readable_in_text() -> None:
    family, persian = (
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    )
    said = f"{family} {persian} \u2764\ufe0f \u65e5\u672c \u00fc"
    assert TextFormatter("%(message)s").format(record(msg=said)) == said
    assert json.loads(JsonFormatter().format(record(msg=said)))["message"] == said


def test_lines_of_a_traceback_are_told_apart_and_in_their_order() -> None:
    said = TextFormatter("%(message)s").format(record(msg="failed", exc=raised(ValueError("here"))))
    assert said.startswith("failed\\nTraceback (most recent call last):\\n  File ")
    assert said.endswith("\\nValueError: here")


def telling(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """What is logged to stderr from now on."""
    told = io.StringIO()
    monkeypatch.setattr("sys.stderr", told)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr("sys.excepthook", None)
    monkeypatch.setattr("threading.excepthook", None)
    logs.set_up("text", logging.WARNING)
    return told


def test_a_record_that_cannot_be_formatted_is_named_and_does_not_get_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = telling(monkeypatch)
    logging.getLogger("foreign").error("%d of it", EVIL + SECRET)
    said = told.getvalue()
    assert "foreign" in said
    assert "cannot be formatted: TypeError" in said
    assert said.rstrip("\n").isprintable()
    assert SECRET not in said


def test_no_part_of_a_secret_is_left_where_its_template_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    told = telling(monkeypatch)
    for before in range(160, 201):
        logging.getLogger("foreign").error(f"%d {'a' * before} {SECRET} of it", "no number")  # noqa: G004
    assert "cannot be formatted: TypeError" in told.getvalue()
    assert "xoxb-1" not in told.getvalue()


def test_what_is_too_long_for_a_log_is_cut_before_it_is_searched_for_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    searched = list[int]()

    def one_line(text: str) -> str:
        searched.append(len(text))
        return text

    monkeypatch.setattr(logs, "one_line", one_line)
    record = logging.makeLogRecord({"msg": "begin %s end", "args": ("x" * 5_000_000,), "levelname": "INFO"})
    for formatter in (logs.TextFormatter("%(message)s"), logs.JsonFormatter()):
        told = formatter.format(record)
        assert "begin xx" in told
        assert "xx end" in told
        assert "characters are left out" in told
    assert max(searched) < 100_000


@pytest.mark.parametrize("formatter", [TextFormatter("%(message)s"), JsonFormatter()], ids=["text", "json"])
@pytest.mark.parametrize("said", [SECRET, "password=hunter2secret", "https://bot:hunter2secret@example.com"])
def test_no_part_of_a_secret_is_left_at_a_cut(formatter: logging.Formatter, said: str) -> None:
    for cut in (30_000, 60_000):  # the middle of 90,000 characters is left out
        for within in range(0, len(said) + 1, 5):
            before = "a " * ((cut - within) // 2) + "a" * ((cut - within) % 2)
            text = f"{before[:-1]} {said} {'b ' * 45_000}"[:90_000]
            told = formatter.format(record(msg=text))
            for part in ("efghijkl", "6789012", "unter2", "secret"):
                assert part not in told, (cut, within)
