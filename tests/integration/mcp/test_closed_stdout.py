"""A client over stdio that reads no more, and what is logged of resources that are refused."""

import json
import logging
import subprocess
import sys
from typing import Any

import pytest
from redis.asyncio import Redis

from abe_redis import RedisMessageQueueBackend
from abe_redis.mcp import access
from tests.integration.agents import GROUP, TOPIC, said, server
from tests.patience import PATIENCE

HELLO = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}


async def test_a_server_whose_stdout_nobody_reads_gives_back_and_ends(
    backend: RedisMessageQueueBackend, redis: Redis, redis_url: str
) -> None:
    for number in range(2):
        await backend.publish(TOPIC, said(number))
    with subprocess.Popen(
        [sys.executable, "-m", "abe_redis", "mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"REDIS_URL": redis_url},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None

        def say(**message: object) -> None:
            assert process.stdin is not None
            process.stdin.write(json.dumps({"jsonrpc": "2.0"} | message).encode() + b"\n")
            process.stdin.flush()

        say(id=1, method="initialize", params=HELLO)
        assert process.stdout.readline()
        say(method="notifications/initialized")
        process.stdout.close()
        say(id=2, method="tools/call", params={"name": "lease_events", "arguments": {"group": GROUP}})
        try:
            assert process.wait(PATIENCE) == 1, "while stdin is open"
        finally:
            process.kill()
        errors = process.stderr.read().decode()
    assert "Nobody reads the stdout of this server any more" in errors
    assert "Traceback" not in errors
    rows: Any = await redis.xpending_range(TOPIC, GROUP, "-", "+", 10)
    assert {row["times_delivered"] for row in rows} == {0}


async def test_a_resource_that_is_refused_leaves_no_traceback_in_the_log(
    backend: RedisMessageQueueBackend, caplog: pytest.LogCaptureFixture
) -> None:
    agent = server(backend)
    token = access.ACCESS.set(access.Access.of("alice", "p", ["publish"]))
    try:
        with caplog.at_level(logging.INFO):
            for uri in ("abe-redis://overview", "abe-redis://streams/slack_events"):
                with pytest.raises(Exception, match="does not have the scope"):
                    await agent.read_resource(uri)
    finally:
        access.ACCESS.reset(token)
    assert [one.getMessage() for one in caplog.records if one.levelno >= logging.ERROR] == []
