"""Text in and out of the command line: UTF-8 in, whatever the console is set to; out, what it can show."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.command_line import run_in_bytes

TEXT = "Grüße 👋 ليس"
EVENT = json.dumps({"text": TEXT}, ensure_ascii=False)
CONSOLES = ["utf-8", "cp1252", "ascii", "cp437"]


def run(
    *arguments: str, redis_url: str, stdin: bytes = b"", console: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    return run_in_bytes(*arguments, stdin=stdin, env=os.environ | variables(redis_url, console))


def start(
    *arguments: str | bytes, redis_url: str, stdin: bytes = b"", console: str = "utf-8"
) -> subprocess.CompletedProcess[bytes]:
    """The same with a Python that starts, and finds out by itself what its console is."""
    return subprocess.run(
        [sys.executable, "-m", "abe_redis", *arguments],
        input=stdin,
        capture_output=True,
        env=os.environ | variables(redis_url, console),
        check=False,
    )


def variables(redis_url: str, console: str) -> dict[str, str]:
    return {"REDIS_URL": redis_url, "PYTHONIOENCODING": console, "PYTHONUTF8": "0"}


def read(redis_url: str) -> Any:
    answer = run("read", "--json", redis_url=redis_url)
    return [event["payload"] for event in json.loads(answer.stdout)["events"]]


@pytest.mark.parametrize("console", CONSOLES)
def test_a_process_reads_utf_8_and_prints_whatever_its_console_is(redis_url: str, console: str) -> None:
    published = start("publish", "-", redis_url=redis_url, stdin=EVENT.encode(), console=console)
    assert published.returncode == 0, published.stderr
    assert read(redis_url) == [{"text": TEXT}]
    shown = start("read", redis_url=redis_url, console=console)
    assert shown.returncode == 0, shown.stderr
    assert TEXT[:5].encode(console, "backslashreplace") in shown.stdout


@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_stdin_is_read_as_utf_8_whatever_the_console_says(redis_url: str, console: str, mark: bytes) -> None:
    result = run("publish", "-", redis_url=redis_url, stdin=mark + EVENT.encode(), console=console)
    assert result.returncode == 0, result.stderr
    assert read(redis_url) == [{"text": TEXT}]


@pytest.mark.parametrize(
    ("data", "hint"),
    [
        (EVENT.encode("cp1252", "replace"), b"byte 12 is 0xfc"),
        (b"\xff\xfe" + EVENT.encode("utf-16-le"), b"It looks like UTF-16"),
        (b'{"text": "\xed\xa0\x80"}', b"is not UTF-8"),
    ],
)
def test_input_that_is_not_utf_8_is_an_error_and_nothing_is_published(
    redis_url: str, data: bytes, hint: bytes
) -> None:
    result = run("publish", "-", redis_url=redis_url, stdin=data)
    assert result.returncode == 1
    assert hint in result.stderr
    assert b"Traceback" not in result.stderr
    assert read(redis_url) == []


def test_lines_in_utf_16_are_named_as_such(redis_url: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_bytes(b"\xff\xfe" + EVENT.encode("utf-16-le"))
    result = run("publish", "--lines", str(lines), redis_url=redis_url)
    assert result.returncode == 1
    assert (
        b"Line 1 is no JSON object (it is not UTF-8: invalid start byte; it looks like UTF-16"
        in result.stderr
    )
    assert read(redis_url) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no bytes in a command line")
def test_an_argument_that_is_not_utf_8_is_an_error(redis_url: str) -> None:
    result = start("publish", b'{"text": "\xfc"}', redis_url=redis_url)
    assert result.returncode == 1
    assert b"the command line is not UTF-8" in result.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", ["stats", "read"])
def test_a_full_disk_under_the_output_is_a_sentence(redis_url: str, arguments: str) -> None:
    command = [sys.executable, "-m", "abe_redis", arguments]
    with Path("/dev/full").open("wb") as full:
        result = subprocess.run(
            command,
            stdout=full,
            stderr=subprocess.PIPE,
            env=os.environ | {"REDIS_URL": redis_url},
            check=False,
        )
    assert result.returncode == 1
    assert result.stderr == (
        b"abe-redis: The disk is full, so not everything could be written (No space left on device).\n"
    )


@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize("arguments", [("read",), ("read", "--json"), ("stats",), ("doctor",)])
def test_nothing_that_is_printed_fails(redis_url: str, console: str, arguments: tuple[str, ...]) -> None:
    assert run("publish", EVENT, redis_url=redis_url).returncode == 0
    result = run(*arguments, redis_url=redis_url, console=console)
    assert b"Traceback" not in result.stderr
    assert b"UnicodeEncodeError" not in result.stderr
    assert result.stdout
