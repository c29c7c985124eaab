"""The command line: the same operations, for people and scripts."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from abe_redis.cli import usage
from abe_redis.sanitize.untrusted import clean
from tests.command_line import run_command
from tests.hosts.processes import Child, ended, until
from tests.servers import Server


def run(*arguments: str, stdin: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    return run_command(*arguments, stdin=stdin, env=os.environ | {"COLUMNS": "120"} | environment)


@pytest.fixture
def at(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)


def answer(*arguments: str, stdin: str | None = None) -> Any:
    result = run(*arguments, "--json", stdin=stdin)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return json.loads(result.stdout)


@pytest.mark.usefixtures("at")
def test_a_line_that_cannot_be_read_ends_it_with_the_number_to_go_on_from(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"n": 1}\n' * 700 + b'{"text": "caf\xe9"}\n{"n": 2}\n')
    done = run("publish", "--lines", str(path))
    assert done.returncode == 1
    assert re.search(
        r"Line \d+ is no JSON object \(it is not UTF-8: .*\)\. Published before it: (\d+)\.", done.stderr
    )
    published = int(re.findall(r"Published before it: (\d+)", done.stderr)[0])
    first = int(re.findall(r"--from-line (\d+)", done.stderr)[0])
    assert answer("stats")["streams"][0]["length"] == published == first - 1


def test_lines_are_published_as_they_come(server: Server, redis_url: str, tmp_path: Path) -> None:
    child = Child(
        [sys.executable, "-m", "abe_redis", "publish", "--lines", "-"],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": redis_url},
        stderr=tmp_path / "stderr",
    )
    with ended([child]):
        with server.admin() as client:
            for number in range(3):
                child.send(f'{{"n": {number}}}')
                until(lambda: client.xlen("slack_events") == number + 1, "a line to be published")  # noqa: B023
        child.process.send_signal(signal.SIGINT)
        assert child.wait() in {1, 130}
        assert "Published before it: 3. Continue there with --from-line 4." in child.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_goes_on_after_a_signal_publishes_no_event_twice(
    server: Server, redis_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("".join(f'{{"n": {n}}}\n' for n in range(60_000)))
    child = Child(
        [sys.executable, "-m", "abe_redis", "publish", "--lines", str(path)],
        cwd=tmp_path,
        variables=os.environ | {"REDIS_URL": redis_url},
        stderr=tmp_path / "stderr",
    )
    with ended([child]), server.admin() as client:
        until(lambda: client.xlen("slack_events") > 1000, "lines to be published")
        child.process.send_signal(number)
        child.wait()
        length = client.xlen("slack_events")
        sentence = f"Published before it: {length}. Continue there with --from-line {length + 1}."
        assert length == 60_000 or sentence in child.stderr


@pytest.mark.usefixtures("at")
@pytest.mark.parametrize(
    "arguments",
    [("publish", "{}", "--from-line", "2"), ("publish", "--lines", "-", "--event-id", "x")],
)
def test_options_that_mean_nothing_are_refused(arguments: tuple[str, ...]) -> None:
    assert run(*arguments, stdin="").returncode == 2


@pytest.mark.usefixtures("at")
def test_a_session() -> None:
    first = answer("publish", '{"type": "app_mention", "text": "hello"}')
    again = answer("publish", "-", "--event-id", "x", stdin='{"type": "message"}')
    assert answer("publish", '{"type": "message"}', "--event-id", "x") == again | {"duplicate": True}

    looked = answer("read", "--order", "oldest", "-n", "1")
    assert [event["id"] for event in looked["events"]] == [first["id"]]
    assert looked["next_start"] == first["id"]

    leased = answer("read", "--group", "workers", "--consumer", "me")
    assert [event["id"] for event in leased["events"]] == [first["id"], again["id"]]
    (stats,) = answer("stats")["streams"]
    assert stats["groups"][0]["pending"] == 2

    refused = run("ack", "slack_events", first["id"], "--group", "workers", "--consumer", "other")
    assert refused.returncode == 1
    assert "Held by another consumer" in refused.stderr
    acked = answer("ack", "slack_events", first["id"], again["id"], "--group", "workers", "--consumer", "me")
    assert acked["acked"] == [first["id"], again["id"]]
    assert answer("stats", "slack_events")["streams"][0]["health"] == "ok"


@pytest.mark.usefixtures("at")
def test_many_events_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    lines = [
        json.dumps({"type": "event_callback", "event_id": f"Ev{n}", "event": {"n": n}}) for n in range(1200)
    ]
    path.write_text("\n".join([*lines[:700], "", "[]", *lines[700:]]), encoding="utf-8")
    broken = run("publish", "--lines", str(path))
    assert broken.returncode == 1
    assert broken.stdout == ""
    assert broken.stderr == (
        "abe-redis: Line 702 is no JSON object (it is an array). Published before it: 700. Correct it and "
        "go on with --from-line 702, or leave it out with --from-line 703.\n"
    )
    path.write_text("\n".join(lines), encoding="utf-8")
    assert answer("publish", "--lines", "-", "--from-line", "601", stdin=path.read_text()) == {
        "lines": 600,
        "duplicates": 100,
        "waiting": 0,
        "reason": None,
    }
    assert answer("stats", "slack_events")["streams"][0]["length"] == 1200
    assert all(len(line) < 1000 for line in run("audit").stdout.splitlines())
    looked = answer("read", "--order", "oldest", "-n", "2")
    assert [event["payload"]["event"]["n"] for event in looked["events"]] == [0, 1]
    gone = run("publish", "--lines", str(path), REDIS_URL="redis://127.0.0.1:1")
    assert gone.returncode == 1
    assert "Published before it: 0. Continue there with --from-line 1." in gone.stderr
    assert "could not be reached" in gone.stderr


@pytest.mark.usefixtures("at")
def test_reading_on_and_on(tmp_path: Path) -> None:
    answer("publish", '{"type": "message", "text": "before"}')
    command = [sys.executable, "-m", "abe_redis", "read", "--follow", "--json"]
    child = Child(command, cwd=tmp_path, variables=os.environ, stderr=tmp_path / "stderr")
    with child:
        follow(child)


def follow(child: Child) -> None:
    assert json.loads(child.line(0))["payload"]["text"] == "before"
    answer("publish", '{"type": "message", "text": "after"}')
    assert json.loads(child.line(1))["payload"]["text"] == "after"
    child.signal(signal.SIGINT)
    assert child.wait() == 0
    assert child.stderr == ""


@pytest.mark.usefixtures("at")
def test_read_shows_only_what_filters_ask_for() -> None:
    for number, (user, channel) in enumerate([("U1", "C1"), ("U1", "C2"), ("U2", "C1")]):
        event = {"type": "message", "user": user, "channel": channel, "text": str(number)}
        answer("publish", json.dumps(event))
    for words, numbers in {
        "--user U1": ["0", "1"],
        "--user <@U1>": ["0", "1"],
        "--user <@U1|ann>": ["0", "1"],
        "--user @U1": ["0", "1"],
        "--channel <#C1|name>": ["0", "2"],
        "--channel #C1": ["0", "2"],
        "--channel C1": ["0", "2"],
        "--user U1 --channel C1": ["0"],
        "--since 1h": ["0", "1", "2"],
        "--since 2200-01-01 --user U1": [],
        "--until 1h": [],
        "--until 2200-01-01 --channel C2": ["1"],
        "--contains c2": ["1"],
        "--thread 1732000000.000100": [],
    }.items():
        found = answer("read", "--order", "oldest", *words.split())
        assert [one["payload"]["text"] for one in found["events"]] == numbers, words
    lines = run("read", "--user", "U2").stdout
    assert "message in C1 by U2: '2'" in lines
    assert "by U1" not in lines


@pytest.mark.usefixtures("at")
def test_read_leaves_ordinary_writing_whole_and_shows_what_is_hidden() -> None:
    flag = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"
    whole = f"\u2764\ufe0f \U0001f468\u200d\U0001f469\u200d\U0001f467 {flag}"
    whole += " \u0645\u06cc\u200c\u062e \u0915\u094d\u200d\u0937"
    answer("publish", json.dumps({"type": "message", "text": f"{whole} a\u202eb\u200bc\ud800d"}))
    shown = "a[U+202E]b[U+200B]c[U+D800]d"
    assert f"message: '{whole} {shown}'" in run("read").stdout
    assert f"message: '{whole} {shown}'" in clean(answer("read")["events"][0]["summary"])


@pytest.mark.usefixtures("at")
def test_people_get_text() -> None:
    assert run("stats").stdout == "No stream exists yet: nothing was published.\n"
    assert run("publish", '{"type": "message", "text": "a\\u001b[31mb"}').stdout.startswith(
        "slack_events: added as "
    )
    read = run("read").stdout
    assert "message: 'a[U+001B][31mb'" in read
    assert "\x1b" not in read
    table = run("stats").stdout
    assert "slack_events" in table
    assert "unread" in table
    assert "\x1b" not in table, "no colour where nobody looks"


def test_publish_says_why_an_event_waits_in_the_outbox(
    own_server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("REDIS_URL", own_server.url)
    monkeypatch.setenv("REDIS_OUTBOX", str(tmp_path / "outbox"))
    with own_server.admin() as admin:
        admin.config_set("maxmemory", "1")
    full = run("publish", '{"n": 1}')
    assert full.returncode == 0, full.stderr
    assert "slack_events: waits in the outbox as outbox-1 until Redis takes it." in full.stdout
    assert "has no memory left" in full.stdout
    assert "could not be reached" not in full.stdout
    assert "has no memory left" in json.loads(run("publish", '{"n": 2}', "--json").stdout)["reason"]
    assert "of its memory (maxmemory)" in run("stats").stdout
    own_server.stop()
    assert "could not be reached" in run("publish", '{"n": 3}').stdout


@pytest.mark.usefixtures("at")
def test_a_group_that_does_not_exist_is_answered_with_the_option_that_makes_it() -> None:
    run("publish", '{"n": 1}')
    run("read", "--group", "g", "--consumer", "ann")
    nope = run("read", "--group", "nope")
    assert nope.returncode == 1
    assert "add --create-group" in nope.stderr
    assert "create_group" not in nope.stderr


@pytest.mark.usefixtures("at")
def test_erase_says_what_it_does_not_reach() -> None:
    run("publish", '{"type": "event_callback", "event": {"type": "message", "user": "U061F7AUR"}}')
    erased = run("erase", "--user", "U061F7AUR", "--yes").stdout
    assert "BGREWRITEAOF and BGSAVE" in erased
    assert "BGREWRITEAOF" not in run("erase", "--user", "U061F7AUR", "--yes").stdout, "nothing was there"


@pytest.mark.usefixtures("at")
def test_stats_shows_which_consumer_holds_which_event(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_STREAM_LEASE_SECONDS", "1800")
    published = json.loads(run("publish", '{"type": "message"}', "--json").stdout)["id"]
    assert run("read", "--group", "workers", "--consumer", "ann").returncode == 0
    assert "last 1800 s (REDIS_STREAM_LEASE_SECONDS)" in run("stats", "slack_events").stdout
    for arguments in ([], ["slack_events"]):
        table = run("stats", *arguments).stdout
        (row,) = [line for line in table.splitlines() if "ann" in line]
        assert "alive" in row
        assert re.search(rf"{published}\s.\s\d+ s", row)
    assert run("ack", "slack_events", published, "--group", "workers", "--consumer", "ann").returncode == 0
    assert "ann" not in run("stats").stdout, "it holds nothing"
    assert "ann" in run("stats", "slack_events").stdout


@pytest.mark.parametrize(
    ("arguments", "environment", "code", "says"),
    [
        (["read", "slack_event"], {}, 1, "'slack_event' belongs to this queue. Did you mean 'slack_events'?"),
        (["publish", "{}", "--stream", "other"], {}, 1, "Its streams are: slack_events, slack:* (set by"),
        (["publish", "{"], {}, 2, "The event is no JSON object (expecting property name"),
        (["publish", "[]"], {}, 2, "is no JSON object (it is an array); nothing"),
        (["read", "elsewhere"], {}, 1, "REDIS_STREAM_PATTERNS"),
        (["read", "-n", "0"], {}, 2, "'--count' / '-n': it must be at least 1, unless you --follow."),
        (["read", "--order", "up"], {}, 2, "'--order': 'up' is not one of 'newest', 'oldest'."),
        (["listen", "--port", "99999"], {}, 2, "'--port': it must be at most 65535."),
        (["mcp"], {"ABE_REDIS_MCP_READ_ONLY": "maybe"}, 2, "it must be true or false."),
        (["--log-format", "xml", "stats"], {}, 2, "it must be 'text' or 'json'."),
        (["read", "--start", "x"], {}, 2, "looks like 1732000000000-0"),
        (["read", "-n", "x"], {}, 2, "it must be a whole number."),
        (["read", "--wait", "x"], {}, 2, "it must be a number."),
        (["read", "--limit", "5"], {}, 2, "No such option: --limit. Did you mean --count?"),
        (["publish", "{}", "--topic", "x"], {}, 2, "Did you mean --stream?"),
        (["stats", "--limit", "5"], {}, 2, "No such option: --limit"),
        (["publish", "null"], {}, 2, "(it is null)"),
        (["publish", '"hello"'], {}, 2, "(it is a text in quotes)"),
        (["publish", '{"n": NaN}'], {}, 2, "(JSON has no number NaN)"),
        (["publish", '{"n": ' + "9" * 5000 + "}"], {}, 2, "several thousand digits"),
        (["publish", "{hello}"], {}, 2, "in a shell, put it in single quotes"),
        (["stats"], {"REDIS_MAX_CONNECTIONS": "abc"}, 2, "is 'abc', but should be a whole number."),
        (["stats"], {"REDIS_MAX_CONNECTIONS": "0"}, 2, "is '0', but should be at least 1."),
        (["stats"], {"REDIS_SSL": "maybe"}, 2, "is 'maybe', but should be true or false."),
        (["stats"], {"REDIS_STREAM_PARTITIONS": "1.5"}, 2, "is '1.5', but should be a whole number."),
        (["stats"], {"REDIS_STREAM_PARTITIONS": "1001"}, 2, "is '1001', but should be at most 1000."),
        (["stats"], {"REDIS_STREAM_MAXLEN": "9999999999"}, 2, "but should be at most 1000000000."),
        (["stats"], {"REDIS_STREAM_LEASE_SECONDS": "x"}, 2, "is 'x', but should be a number."),
        (["stats"], {"REDIS_CREDENTIALS": "abc"}, 2, "should be MODULE:NAME, as in bot.credentials:provider"),
        (
            ["stats"],
            {"REDIS_PASSWORD_FILE": "/no/file"},
            1,
            "read (No such file or directory). They are looked",
        ),
        (["nonsense"], {}, 2, "No such command"),
        (["requeue"], {}, 2, "Did you mean 'abe-redis dead redrive'?"),
        (["trim"], {}, 2, "publishers and workers trim streams by themselves"),
        (["publish"], {}, 2, "Give an event, or --lines"),
        (["read", "--follow", "--group", "g"], {}, 2, "--follow changes nothing"),
        (["read", "--create-group"], {}, 2, "need a group"),
        (
            ["read", "--group", "g", "--user", "U061F7AUR"],
            {},
            2,
            "leave out user, or leave out group to look",
        ),
        (["read", "--group", "g", "--until", "1h", "--start", "1-1"], {}, 2, "leave out until, start, or"),
        (["publish", "{}", "--event-id", "x" * 300], {}, 2, "300 characters"),
        (["read", "--since", "soon"], {}, 2, "no point in a stream"),
        (["top"], {}, 1, "use `abe-redis stats` instead"),
        (["stats"], {"REDIS_URL": "redis://:secret@127.0.0.1:1"}, 1, "could not be reached"),
        (["stats"], {"REDIS_URL": "redis://:secret@h/x"}, 2, "REDIS_URL is not valid"),
        (["mcp"], {"REDIS_STREAM_MAXLEN": "-5"}, 2, "REDIS_STREAM_MAXLEN is '-5'"),
        (["stats"], {"REDIS_URL": "redis+cluster://127.0.0.1:1"}, 1, "no node of the cluster could be asked"),
        (["stats"], {"REDIS_URL": "redis+sentinel://127.0.0.1:1/m"}, 1, "no Sentinel named the primary"),
    ],
)
@pytest.mark.usefixtures("at")
def test_a_mistake_is_a_sentence(
    arguments: list[str], environment: dict[str, str], code: int, says: str
) -> None:
    result = run(*arguments, **environment)
    assert result.returncode == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert "secret" not in result.stderr + result.stdout


@pytest.mark.usefixtures("at")
def test_an_empty_event_is_published_with_a_warning(tmp_path: Path) -> None:
    published = run("publish", "{}")
    assert (published.returncode, published.stdout[:23]) == (0, "slack_events: added as ")
    assert published.stderr == "abe-redis: The event is empty ({}): no handler can tell what it is about.\n"
    path = tmp_path / "events.jsonl"
    path.write_text('{}\n{"n": 1}\n{}\n', encoding="utf-8")
    many = run("publish", "--lines", str(path))
    assert (many.returncode, many.stdout) == (0, "3 events published.\n")
    assert many.stderr == "abe-redis: Of these events, 2 are empty ({}).\n"


@pytest.mark.usefixtures("at")
def test_a_verbose_log_is_about_us() -> None:
    assert "asyncio" not in run("-v", "stats").stderr


def commands() -> dict[str, list[str]]:
    """The options of each command, as an interpreter of its own sees them."""
    script = """
import json, typer.main, abe_redis.cli as cli
from contextlib import suppress
from unittest.mock import patch
from abe_redis.cli.app import app
with patch("typer.Typer.__call__"), suppress(SystemExit):
    cli.main()
def walk(command, name):
    if isinstance(command, typer.main.TyperGroup):
        if command.invoke_without_command:
            yield name, [option for one in command.params for option in one.opts]
        for each, inner in command.commands.items():
            yield from walk(inner, f"{name} {each}".strip())
    else:
        yield name, [option for one in command.params for option in one.opts]
print(json.dumps(dict(walk(typer.main.get_command(app), ""))))
"""
    found: dict[str, list[str]] = json.loads(
        subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    )
    return found


def test_every_command_that_answers_has_json_for_scripts() -> None:
    """But for those that serve, are watched, or edit a file of this machine."""
    others = {"mcp", "mcp install", "dashboard", "demo", "listen", "top", "worker"}
    found = commands()
    assert {name for name, options in found.items() if name and "--json" not in options} == others
    assert len(found) > 15


def test_a_command_of_other_programs_is_answered_with_one_of_ours() -> None:
    """Each answer is a command that exists, with options that it has; none is given for a command of ours."""
    found = commands()
    for family, meant in usage.MEANT_COMMANDS.items():
        for theirs, ours in meant.items():
            assert f"{family} {theirs}".strip() not in found
            name, *options = ours.split(" --")
            assert {f"--{one}" for one in options} <= set(found[name])


def test_help_teaches_by_example() -> None:
    assert run("--version").stdout.startswith("abe-redis ")
    overview = run("--help").stdout
    found = re.findall(r"^│ ([a-z]+) ", overview, re.MULTILINE)
    order = ["publish", "read", "ack", "release", "stats", "worker", "demo", "mcp", "erase", "dead"]
    assert [one for one in found if one in order] == order
    for command in ("publish", "read", "ack", "stats", "mcp", "demo"):
        assert run(command, "--help").returncode == 0
    for command in ("publish", "read", "ack", "release", "stats", "top"):
        assert f"Example: abe-redis {command}" in run(command, "--help").stdout


@pytest.mark.usefixtures("at")
def test_options_that_contradict_each_other_or_say_nothing_are_refused() -> None:
    for words, said in (
        ("worker json:dumps --metrics-host 0.0.0.0", "--metrics-port"),
        ("group replay slack_events bot --from 2h --to 1h --until 1h", "not both"),
        ("publish {} --stream slack:*", "reads like a pattern"),
    ):
        refused = run(*words.split())
        assert (refused.returncode, refused.stdout) == (2 if "pattern" not in said else 1, ""), refused.stderr
        assert said in " ".join(refused.stderr.split())
    new = run("publish", '{"n": 1}', "--stream", "slack:nowhere").stdout
    assert new.endswith(" (a new stream, which no group reads yet)\n")
    assert run("audit", "--who", "nobody-of-this-name").stdout == "No change matches.\n"
    assert "slack:nowhere" in run("audit", "--since", "1h", "--stream", "slack:nowhere").stdout


def test_importing_costs_little() -> None:
    """`import abe_redis` loads none of the heavy parts, and an MCP server starts without redis-py."""
    for module, heavy in (
        ("abe_redis", ("mcp", "typer", "rich", "redis", "pydantic")),
        ("abe_redis.mcp.server", ("typer", "redis")),
    ):
        script = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
        result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
        assert result.stdout == "[]\n"


def test_a_command_that_prints_no_table_does_not_wait_for_rich() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "abe_redis", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "typer.main" in imported
    assert not {"rich", "typer.rich_utils", "redis", "mcp"} & imported
