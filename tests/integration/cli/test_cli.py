"""The command line: the same operations, for people and scripts."""

import json
import re
import subprocess
import sys

import pytest

from tests.integration.cli.command_runs import answer, at, run

__all__ = ["at"]


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
    assert "a lease lasts 1800 s (REDIS_STREAM_LEASE_SECONDS)" in run("stats", "slack_events").stdout
    for arguments in ([], ["slack_events"]):
        table = run("stats", *arguments).stdout
        (row,) = [line for line in table.splitlines() if "ann" in line]
        assert "alive" in row
        assert re.search(rf"{published}\s.\s\d+ s", row)
    assert run("ack", "slack_events", published, "--group", "workers", "--consumer", "ann").returncode == 0
    assert "ann" not in run("stats").stdout, "it holds nothing"
    assert "ann" in run("stats", "slack_events").stdout


@pytest.mark.usefixtures("at")
def test_a_verbose_log_is_about_us() -> None:
    assert "asyncio" not in run("-v", "stats").stderr


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
