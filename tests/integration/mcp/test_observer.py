"""The MCP server as the observer's Redis user: every tool that looks works, with exactly these rights."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from abe_redis import RedisMessageQueueBackend, Settings
from abe_redis.doctor.rights import ROLES, Role
from abe_redis.mcp.compat.sdk import Server as McpServer
from abe_redis.mcp.permissions import Permissions
from abe_redis.streams import dead_fields, names
from abe_redis.streams.patterns import Patterns
from tests.integration.agents import TOPIC, asking, refusal, said, server, text_of
from tests.servers import Server, Servers

SECRET = "s3cret-w0rd"
(OBSERVER,) = (role for role in ROLES if role.name == "observer")
READ_ONLY = Permissions(read_only=True)
IDS = [f"173200000000{number}-0" for number in range(3)]
NOT_HERE = {"cluster|slots"}
"""Rights for which this server has no use: it is no cluster."""


@pytest.fixture(params=["make_server", "debian_redis"])
def queue(request: pytest.FixtureRequest) -> Server:
    """Valkey 9, then the system's Redis 7, with events, a group and dead letters; the default user is off."""
    make: Servers = request.getfixturevalue(request.param)
    made = make(users={"default": "off", **user(OBSERVER)})
    with made.admin() as admin:
        for number in range(3):
            admin.xadd(TOPIC, {"data": json.dumps(said(number))}, id=IDS[number])
        # Its payload says another id, so only what is remembered leads to it.
        admin.set(names.seen(TOPIC, "event:Forgotten"), f"{IDS[1]} x")
        admin.xgroup_create(TOPIC, "bot", "0")
        admin.xreadgroup("bot", "worker-1", {TOPIC: ">"}, count=2)
        admin.xadd(
            f"dead:{{{TOPIC}}}",
            {"data": json.dumps(said(9)), dead_fields.REASON: "boom", dead_fields.GROUP: "bot"},
        )
    return made


def user(role: Role) -> dict[str, str]:
    """The user that the role's line makes, as a server's file has it."""
    _, _, name, _, rules = role.setuser(Patterns(Settings().patterns)).split(" ", 4)
    return {name: rules.replace("PASSWORD", SECRET)}


@pytest.fixture
async def agent(queue: Server) -> AsyncIterator[McpServer]:
    settings = Settings(redis_url=queue.url, redis_username="abe-observer", redis_password=SECRET)
    async with RedisMessageQueueBackend(settings) as backend:
        yield server(backend, READ_ONLY)


async def looked(agent: McpServer) -> list[str]:
    """The answers to every way of looking that the server offers."""
    ask = asking(agent)
    calls: list[tuple[str, dict[str, Any]]] = [
        ("stream_stats", {}),
        ("stream_stats", {"stream": TOPIC}),
        ("read_stream", {}),
        ("read_stream", {"contains": "hello", "user": "U1", "order": "oldest", "payload": "whole"}),
        ("read_stream", {"since": "1h", "wait_seconds": 0.05}),
        ("read_stream", {"event_id": "Forgotten"}),
        ("read_stream", {"event_id": IDS[2], "stream": TOPIC}),
        ("read_stream", {"pending": True, "group": "bot"}),
        ("read_stream", {"pending": True}),
        ("read_stream", {"dead": True}),
        ("count_events", {"by": "type"}),
        ("count_events", {"by": "reason", "dead": True}),
    ]
    answers = [text_of(await ask(tool, **arguments)) for tool, arguments in calls]
    assert "does not exist (yet)" in await refusal(ask, "read_stream", stream="slack:none")
    for uri in ("overview", f"streams/{TOPIC}", f"streams/{TOPIC}/entries/{IDS[2]}"):
        (found,) = await agent.read_resource(f"abe-redis://{uri}")
        answers.append(str(found.content))
    return answers


async def test_every_tool_that_looks_works_with_an_observers_rights(queue: Server, agent: McpServer) -> None:
    answers = await looked(agent)
    assert IDS[1] in answers[5], "what is remembered leads to it"
    assert "worker-1" in answers[7]
    assert not any("may not" in one or "NOPERM" in one for one in answers)
    with queue.admin() as admin:
        # What only the server's state needs is tried once, and left out from then on.
        assert sorted((one["object"], one["count"]) for one in admin.acl_log()) == [("info", 2), ("set", 1)]


async def test_an_observer_has_no_right_that_no_tool_needs(queue: Server, agent: McpServer) -> None:
    with queue.admin() as admin:
        admin.config_resetstat()
        await looked(agent)
        sent = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")}
    rights = {*f"{OBSERVER.streams} {OBSERVER.helpers} {OBSERVER.elsewhere}".split()}
    assert rights - NOT_HERE <= sent
