"""Whoever may write to Redis, or in Slack, writes to the terminal of whoever looks."""

import json
import sys
import threading
from typing import Any

import pytest
import redis

from abe_redis import cli
from tests.attacks.tally import Tally

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f\u202egnp\u2028\u2066\U000e0041\r[bold red]x[/]"
STREAM = f"slack:{EVIL}"
GROUP = f"bot{EVIL}"
COMMANDS = (
    ("stats",),
    ("stats", STREAM),
    ("read", STREAM),
    ("read", STREAM, "--group", GROUP, "--pending"),
    ("dead", "list"),
    ("dead", "list", STREAM),
    ("dead", "summary"),
    ("count", STREAM),
    ("count", STREAM, "--by", "user"),
    ("count", STREAM, "--by", "reason"),
    ("dead", "bury", STREAM, EVIL, "--group", GROUP, "--reason", EVIL),
    ("dead", "bury", STREAM, "1-1", "--group", GROUP, "--reason", EVIL),
    ("group", "list"),
    ("group", "pause", STREAM, GROUP),
    ("doctor",),
    ("audit",),
    ("erase", "--user", "U061F7AUR", "--dry-run"),
    ("ack", STREAM, "1-1", "--group", GROUP, "--consumer", EVIL),
    ("dead", "redrive", STREAM, "--all", "--dry-run"),
    ("dead", "purge", STREAM, "--all", "--dry-run"),
    ("read", f"other:{EVIL}"),
    ("read", STREAM, "--start", EVIL),
    ("group", "remove", STREAM, EVIL),
    ("publish", EVIL),
    ("read", f"--{EVIL}"),
    (EVIL,),
)


@pytest.fixture(autouse=True)
def _hooks_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands set them for the process."""
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)


def prepare(url: str) -> None:
    event = {"type": "message", "text": EVIL, "user": EVIL, "channel": EVIL, "event_ts": EVIL, EVIL: EVIL}
    fields = {"data": json.dumps({"type": "event_callback", "event_id": EVIL, "event": event})}
    with redis.Redis.from_url(url) as client:
        first = client.xadd(STREAM, fields)
        client.xadd(STREAM, fields)
        client.xgroup_create(STREAM, GROUP, "0")
        client.xreadgroup(GROUP, EVIL, {STREAM: ">"}, count=1)
        about = {
            "abe:reason": EVIL,
            "abe:group": GROUP,
            "abe:consumer": EVIL,
            "abe:id": first,
            "abe:trace": EVIL,
        }
        client.xadd(f"dead:{{{STREAM}}}", fields | about)
        client.xadd("abe:audit", {"who": EVIL, "from": EVIL, "what": EVIL, "facts": json.dumps({EVIL: EVIL})})


def outputs(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], *command: str
) -> tuple[str, str, int]:
    monkeypatch.setattr(sys, "argv", ["abe-redis", *command])
    code: Any = 0
    try:
        cli.main()
    except SystemExit as end:
        code = end.code or 0
    done = capfd.readouterr()
    return done.out, done.err, code


def test_no_name_and_no_text_controls_the_terminal(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(redis_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    tally, shown = Tally("controlling a terminal by what commands print"), ""
    for command in COMMANDS:
        out, err, _ = outputs(monkeypatch, capfd, *command)
        shown += out
        for text in (out, err):
            bad = [line for line in text.split("\n") if not line.replace("\t", "").isprintable()]
            tally.tried(f"{command}: {bad}", escaped=bool(bad))
    tally.check(least=2 * len(COMMANDS))
    assert "[U+001B]" in shown
    assert "[bold red]" in shown, "what looks like markup is no markup"


def test_json_is_ascii(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    prepare(redis_url)
    monkeypatch.setenv("REDIS_URL", redis_url)
    tally = Tally("characters that JSON should not have")
    for command in COMMANDS[:18]:
        out, _, code = outputs(monkeypatch, capfd, *command, "--json")
        safe = out.isascii() and "\x7f" not in out and all(line.isprintable() for line in out.split("\n"))
        tally.tried(f"{command}: {out!r}", escaped=not safe)
        if out or code == 0:
            json.loads(out)
    tally.check(least=18)
