"""A server that refuses for a while: each door says so in a sentence, and goes on after it."""

import sys
from collections.abc import Iterator
from typing import Any

import anyio
import pytest
from mcp.server.fastmcp.exceptions import ToolError

from abe_redis import Event, RedisMessageQueueBackend, Settings, SyncBackend, cli
from abe_redis.errors import AbeRedisError
from abe_redis.testing import message
from abe_redis.testing.signing import signed
from tests.command_line import build_once
from tests.integration.agents import asking
from tests.integration.agents import server as mcp_server
from tests.integration.client.states import MAY_LOAD, STATES, State
from tests.integration.conftest import take_one
from tests.integration.slack.doors import SECRET, door, post
from tests.servers import Server, Servers

TOPIC, GROUP = "slack_events", "bot"

COMMANDS = (
    'publish {"n":1}',
    "read",
    f"stats {TOPIC}",
    "count --by type",
    "audit",
    "group list",
    f"group pause {TOPIC} {GROUP}",
    "dead list",
    "dead summary",
    f"dead redrive {TOPIC} --all",
    "erase --user U061F7AUR --yes",
)
CALLS: dict[str, dict[str, Any]] = {
    "publish_event": {"payload": {"type": "note"}},
    "read_stream": {},
    "stream_stats": {},
    "count_events": {"by": "type"},
    "lease_events": {"group": "agents"},
}


@pytest.fixture(params=list(STATES))
def state(request: pytest.FixtureRequest) -> State:
    return STATES[request.param]


@pytest.fixture
def server(make_server: Servers, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = make_server(options=MAY_LOAD)
    monkeypatch.setenv("REDIS_URL", server.url)
    monkeypatch.setenv("REDIS_STREAM_PATTERNS", TOPIC)
    with SyncBackend.from_env() as backend:
        backend.publish(TOPIC, {"n": 0})
    with server.admin() as admin:
        for group in (GROUP, "agents"):
            admin.xgroup_create(TOPIC, group, "0")
        admin.xadd("dead:{slack_events}", {"data": "{}", "abe:group": GROUP, "abe:id": "1-1"})
        yield server


def test_commands(
    server: Server, state: State, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each does what the server still does, or says in one line what is wrong, and ends with 1."""
    build_once(monkeypatch.setattr)

    def run(command: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["abe-redis", *command.split()])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return int(end.value.code or 0), capfd.readouterr().err

    with state(server):
        said = {command: run(command) for command in COMMANDS}
    assert {name for name, (code, _) in said.items() if code not in {0, 1}} == set()
    assert said['publish {"n":1}'][0] == 1
    for command, (code, error) in said.items():
        if code:
            assert error.count("\n") == 1, (command, error)
            assert error.startswith("abe-redis: Redis at "), (command, error)
    for command in COMMANDS:
        assert run(command) == (0, ""), command


def test_publishing_without_an_event_loop(server: Server, state: State) -> None:
    with SyncBackend.from_env() as backend:
        backend.publish(TOPIC, {"n": 1})
        with state(server), pytest.raises(AbeRedisError, match="publishing to 'slack_events'"):
            backend.publish(TOPIC, {"n": 2})
        backend.publish(TOPIC, {"n": 3})


async def test_agents(server: Server, state: State) -> None:
    """Of one server, which has connections from before."""
    async with RedisMessageQueueBackend(Settings()) as backend:
        ask = asking(mcp_server(backend))
        for tool, arguments in CALLS.items():
            await ask(tool, **arguments)
        refused = {}
        with state(server):
            for tool, arguments in CALLS.items():
                try:
                    await ask(tool, **arguments)
                except ToolError as error:
                    refused[tool] = str(error)
        assert "publish_event" in refused
        for tool, said in refused.items():
            assert "Redis at " in said, (tool, said)
            assert "unexpectedly" not in said, (tool, said)
        for tool, arguments in CALLS.items():
            await ask(tool, **arguments)


async def test_slack_itself(server: Server, state: State) -> None:
    """Slack sends what was refused again, and so it is there, once."""
    async with RedisMessageQueueBackend(Settings()) as backend:
        app = door(backend)
        body, headers = signed(message("hi"), SECRET)
        with state(server):
            assert (await post(app, body, headers)).status == 503
        assert (await post(app, body, headers)).status == 200
    with server.admin() as admin:
        assert admin.xlen(TOPIC) == 2


async def test_the_loop_of_slack_mcps_own_consumers(server: Server, state: State) -> None:
    """Which ends for good when `consume()` does: without a group, started before, and within the state."""
    taken = list[Event]()

    async def consume(events: Any) -> None:
        async for event in events:
            taken.append(event)
            if event.get("n") == "last":
                return

    async with RedisMessageQueueBackend(Settings()) as backend:
        before = backend.consume()
        assert await take_one(before) == {"n": 0}
        async with anyio.create_task_group() as tasks:
            with state(server):
                tasks.start_soon(consume, before)
                tasks.start_soon(consume, backend.consume(group="another"))
                await anyio.sleep(0.3)
            await backend.publish(TOPIC, {"n": "last"})
    assert [event["n"] for event in taken if event.group == "another"] == [0, "last"]
