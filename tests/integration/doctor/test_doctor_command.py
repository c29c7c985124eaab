"""`abe-redis doctor`: the worst first, and its exit code."""

import json
import os
import subprocess

import pytest

from abe_redis import Settings
from abe_redis.doctor import Finding, examine
from tests.command_line import run_command
from tests.integration.doctor.findings import SECRET, send
from tests.servers import Server, Servers


def run(server: Server, *arguments: str, columns: int | None = None) -> subprocess.CompletedProcess[str]:
    url = server.url.replace("redis://", f"redis://default:{SECRET}@")
    variables = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    width = {} if columns is None else {"COLUMNS": str(columns)}
    return run_command("doctor", *arguments, env=variables | width | {"REDIS_URL": url})


def test_the_doctor_command_lists_the_worst_first_and_exits_with_1(make_server: Servers) -> None:
    server = make_server(persistent=True, users={"default": f"on >{SECRET} ~* &* +@all"})
    send(server, "CONFIG SET maxmemory 1gb")
    healthy = run(server)
    assert healthy.returncode == 0, healthy.stdout
    assert healthy.stdout.rstrip().endswith("0 problems, 0 warnings, 18 ok.")
    with server.admin() as admin:
        admin.config_set("maxmemory-policy", "allkeys-lfu")
    sick = run(server)
    assert sick.returncode == 1
    first, *lines = sick.stdout.splitlines()
    assert first.startswith("problem  eviction ")
    assert "CONFIG SET maxmemory-policy noeviction" in [line.strip() for line in lines]
    for line in (first, *lines):
        assert line == line.rstrip()
        assert len(line) <= 100 or not line.strip().startswith("ACL SETUSER")
    advice = "Set noeviction in the server's configuration, too, and send:"
    assert first.endswith(advice), "where no terminal is, a sentence is one line"
    wide = run(server, columns=80).stdout.splitlines()
    assert len(wide) > len(lines) + 1
    assert all(len(line) <= (100 if line.strip().startswith("ACL SETUSER") else 80) for line in wide)
    found = run(server, "--json")
    assert found.returncode == 1
    findings = [Finding.model_validate(one) for one in json.loads(found.stdout)["findings"]]
    assert [one.check for one in findings if one.severity == "problem"] == ["eviction"]
    for result in (healthy, sick, found):
        assert SECRET not in result.stdout + result.stderr
        assert "\x1b" not in result.stdout
        assert result.stderr == ""
    assert "Example: abe-redis doctor" in run(server, "--help").stdout


def test_the_doctor_shows_the_settings_in_force_without_secrets(make_server: Servers) -> None:
    server = make_server(persistent=True, users={"default": f"on >{SECRET} ~* &* +@all"})
    shown = run(server, "--settings")
    assert (shown.returncode, shown.stderr) == (0, "")
    lines = {line.split()[0]: line.split()[1:] for line in shown.stdout.splitlines()}
    assert lines.keys() == {name.upper() for name in Settings.model_fields}
    assert lines["REDIS_URL"] == ["environment", server.url]
    assert lines["REDIS_PASSWORD"] == ["REDIS_URL", "***"]
    assert lines["REDIS_STREAM_MAX_DELIVERIES"] == ["default", "5"]
    assert lines["REDIS_OUTBOX"] == ["default"], "it is not set"
    assert lines["REDIS_STREAM_PATTERNS"] == ["default", "slack:*,slack_events"]
    told = {
        one["variable"]: one for one in json.loads(run(server, "--settings", "--json").stdout)["settings"]
    }
    assert told["REDIS_URL"]["origin"] == "environment"
    assert SECRET not in shown.stdout + json.dumps(told)


def test_the_doctor_shows_that_the_topic_is_read_which_no_pattern_names(
    make_server: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = make_server(persistent=True, users={"default": f"on >{SECRET} ~* &* +@all"})
    monkeypatch.setenv("REDIS_STREAM_PATTERNS", "slack:lib")
    (line,) = [one for one in run(server, "--settings").stdout.splitlines() if "_PATTERNS" in one]
    assert line.endswith("environment  slack:lib (and slack_events, which is SLACK_EVENTS_TOPIC)")
    told = {
        one["variable"]: one for one in json.loads(run(server, "--settings", "--json").stdout)["settings"]
    }
    assert told["REDIS_STREAM_PATTERNS"]["value"] == "slack:lib"
    assert "slack_events" in told["REDIS_STREAM_PATTERNS"]["note"]


def test_the_doctor_prints_no_command_for_what_is_well(make_server: Servers) -> None:
    server = make_server(persistent=True, users={"default": f"on >{SECRET} ~* &* +@all"})
    assert "ACL SETUSER" not in run(server).stdout
    assert "ACL SETUSER" in run(server, "--roles").stdout
    assert "ACL SETUSER" in run(server, "--json").stdout


@pytest.mark.parametrize(
    ("release", "is_named"),
    [("1.17.2", True), ("1.18.0", False), ("1.30.1", False), ("2.0.0", True), (None, False)],
)
async def test_a_bolt_that_is_not_supported_is_named(
    release: str | None, is_named: bool, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.runtime.bolt_releases.installed", lambda: release)
    found = [one for one in await examine(Settings(redis_url=redis_url)) if one.check == "bolt"]
    assert [one.severity for one in found] == ["warning"] * is_named
    assert all(str(release) in one.found for one in found)
