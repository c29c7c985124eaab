"""The life of an MCP server, seen from outside: its start, its end, and the leases it gives back."""

import json
import signal
from pathlib import Path

import pytest

from tests.hosts import environments
from tests.hosts.conftest import Start
from tests.hosts.mcp_sessions import ENVELOPE, GROUP, NEWEST, SERVE, TOPIC, VERSIONS, Raw, text_of
from tests.hosts.mcp_tools import TOOLS
from tests.hosts.processes import Child
from tests.servers import HOST, Server, free_port
from tests.topologies import wait_until


def holding_a_lease(child: Child) -> Raw:
    """The server of this process, which holds the one event."""
    raw = Raw(child)
    assert raw.call("publish_event", payload=ENVELOPE)["structuredContent"]["duplicate"] is False
    leased = raw.call("lease_events", group=GROUP)
    assert "delivery 1" in text_of(leased)
    assert not leased.get("structuredContent")
    return raw


def assert_given_back(server: Server) -> None:
    """The event waits for whoever comes next, at once and as if it had not been delivered."""
    with server.admin() as client:
        (entry,) = client.xpending_range(TOPIC, GROUP, "-", "+", 10)
    assert entry["times_delivered"] == 0
    assert entry["time_since_delivered"] > 1e12  # given back means: its lease ended long ago


@pytest.mark.parametrize("version", VERSIONS)
def test_the_end_of_stdin_ends_it_and_gives_leases_back(
    version: str, start: Start, server: Server, redis_url: str
) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url})
    holding_a_lease(child).child.close_stdin()
    assert child.wait() == 0
    assert_given_back(server)


@pytest.mark.usefixtures("not_under_nohup")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=["TERM", "INT", "HUP"])
@pytest.mark.parametrize("version", NEWEST)
def test_a_signal_ends_it_and_gives_leases_back(
    version: str, number: int, start: Start, server: Server, redis_url: str
) -> None:
    child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url}, forked=True)
    holding_a_lease(child)
    child.signal(number)  # while stdin is open
    assert child.wait() == 128 + number
    assert_given_back(server)


@pytest.mark.parametrize("version", NEWEST)
def test_a_change_that_a_signal_cuts_off_is_recorded_as_far_as_it_came(
    version: str, start: Start, server: Server, redis_url: str
) -> None:
    many = 1100  # of the 1,200 that agents may redrive in a minute
    letter = {"data": "x" * 2000, "abe:reason": "r", "abe:group": GROUP, "abe:stream": TOPIC}
    with server.admin() as client:
        client.xgroup_create(TOPIC, GROUP, "0", mkstream=True)
        for number in range(many):
            client.xadd(f"dead:{{{TOPIC}}}", {**letter, "abe:id": f"{number + 1}-1"})
        child = start(environments.mcp_sdk(version), *SERVE, variables={"REDIS_URL": redis_url})
        raw = Raw(child)
        raw.call("stream_stats")
        call = {
            "name": "redrive",
            "arguments": {"stream": TOPIC, "dry_run": False, "confirm": True, "group": GROUP},
        }
        child.send(json.dumps({"jsonrpc": "2.0", "id": 99, "method": "tools/call", "params": call}))
        wait_until(lambda: client.xlen(TOPIC), "the first step")
        child.signal(signal.SIGTERM)
        assert child.wait() == 128 + signal.SIGTERM
        moved = client.xlen(TOPIC)
        (_, record), *_ = client.xrange("abe:audit")
    assert record["what"] == "redrive"
    assert json.loads(record["facts"])["redriven"] == moved < many


@pytest.mark.parametrize("version", NEWEST)
def test_without_redis_it_starts_and_says_so(version: str, start: Start) -> None:
    """With the most talkative log, and with messages that are none: stdout has nothing but the protocol."""
    password, encoded, port = "s3cret/of:redis", "s3cret%2Fof%3Aredis", free_port()
    variables = {
        "REDIS_URL": f"redis://app:{encoded}@{HOST}:{port}/0",
        # What does not belong on stdout shows up there at once under 1.x, and with a buffer in the end under
        # 2.x; the other way round both happen to lose it.
        "PYTHONUNBUFFERED": "1" if version.startswith("1") else "",
    }
    child = start(environments.mcp_sdk(version), "-m", "abe_redis", "--verbose", "mcp", variables=variables)
    raw = Raw(child)
    assert [tool["name"] for tool in raw.ask("tools/list")["tools"]] == list(TOOLS)
    for tool, doing in (("stream_stats", "looking at the streams"), ("read_stream", f"reading '{TOPIC}'")):
        answer = raw.call(tool)
        assert answer["isError"] is True
        assert text_of(answer).startswith(
            f"Redis at redis://{HOST}:{port}/0 could not be reached for {doing} ("
        )
        assert text_of(answer).endswith("Check that it runs and that REDIS_URL is right.")
    assert raw.ask("no/such/method")["code"] < 0
    child.send("this is not JSON")
    assert "is not a parameter" in text_of(raw.call("read_stream", grup=1))
    child.close_stdin()
    assert child.wait() == 0
    assert all(json.loads(line)["jsonrpc"] == "2.0" for line in child.lines)
    assert "DEBUG" in child.stderr
    for secret in (password, encoded):
        assert secret not in "\n".join(child.lines) + child.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("REDIS_MAX_CONNECTIONS", "many"), ("REDIS_URL", "http://app:s3cret@redis.test")],
)
def test_a_wrong_setting_is_a_sentence_and_exit_code_2(name: str, value: str, tmp_path: Path) -> None:
    sdk = environments.mcp_sdk(VERSIONS[-1])
    done = sdk.run(*SERVE, cwd=tmp_path, variables={name: value})
    assert done.returncode == 2
    assert not done.stdout
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"abe-redis: {name} is ")
    assert "s3cret" not in line
