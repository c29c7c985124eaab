"""The transport's answers: of every kind, byte by byte, and errors as redis-py makes them."""

from typing import Any

import pytest
from redis import exceptions
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from abe_redis import Settings
from abe_redis.client import failures
from tests.unit.client.transports import _nobody_complains
from tests.unit.fake_server import (
    Peer,
    answering,
    bulk,
    echo,
    opened,
    outcome,
    outcomes,
)

__all__ = ["_nobody_complains"]

ANSWERS: list[tuple[bytes, Any]] = [
    (b"+OK\r\n", b"OK"),
    (b"+\r\n", b""),
    (b":-42\r\n", -42),
    (b"$5\r\nhe\r\no\r\n", b"he\r\no"),
    (b"$0\r\n\r\n", b""),
    (b"$-1\r\n", None),
    (b"*-1\r\n", None),
    (b"*0\r\n", []),
    (b"*2\r\n*1\r\n$1\r\nx\r\n*2\r\n:1\r\n$-1\r\n", [[b"x"], [1, None]]),
    (bulk(b"\x00\xff" * 300), b"\x00\xff" * 300),
]


@pytest.mark.parametrize(("sent", "received"), ANSWERS, ids=lambda value: repr(value)[:30])
async def test_answers_of_every_kind_byte_by_byte(sent: bytes, received: Any) -> None:
    async def behave(peer: Peer) -> None:
        while await peer.command():
            await peer.drip(sent)

    async with opened(behave) as (transport, _):
        assert await outcomes(*(transport.call("GET", n) for n in range(3))) == 3 * [received]


async def test_words_of_every_kind_arrive_as_they_are() -> None:
    async with opened(echo) as (transport, server):
        await transport.call("SET", "ü🎉", b"\x00\r\n\xff", 10**20, -1, 0.1, b"", "")
    assert server.commands == [
        [b"SET", "ü🎉".encode(), b"\x00\r\n\xff", b"100000000000000000000", b"-1", b"0.1", b"", b""]
    ]


@pytest.mark.parametrize("words", [(), (None,), ("GET", True), ("GET", ["x"]), ("GET", "\ud800")])
@pytest.mark.parametrize("open_before", [True, False])
async def test_a_command_that_cannot_be_sent_fails_its_caller_only(
    words: tuple[Any, ...], open_before: bool
) -> None:
    async with opened(echo) as (transport, server):
        if open_before:
            await transport.call("PING")
        first, wrong, second = await outcomes(
            transport.call("ECHO", "1"), transport.call(*words), transport.call("ECHO", "2")
        )
        assert (first, second) == (b"1", b"2")
        assert isinstance(wrong, (TypeError, ValueError))
        assert not [command for command in server.commands if command[0] not in {b"PING", b"ECHO"}]


ERRORS = [
    "ERR unknown command",
    "ERR",
    "",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "NOSCRIPT No matching script",
    "NOPERM this user has no permissions",
    "NOAUTH Authentication required.",
    "WRONGPASS invalid username-password pair or user is disabled.",
    "OOM command not allowed",
    "READONLY You can't write against a read only replica.",
    "LOADING Redis is loading the dataset in memory",
    "BUSY Redis is busy running a script",
    "MASTERDOWN Link with MASTER is down",
    "CLUSTERDOWN The cluster is down",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "MOVED 3999 127.0.0.1:6381",
    "ERR max number of clients reached",
    "STREAMFULL it has 5 entries",
    "MISCONF Redis is configured to save RDB snapshots",
]


@pytest.mark.parametrize("text", ERRORS)
async def test_an_error_is_what_redis_py_makes_of_it(text: str) -> None:
    async def behave(peer: Peer) -> None:
        while words := await peer.command():
            peer.send(f"-{text}\r\n".encode() if words[0] == b"EVALSHA" else b"+OK\r\n")

    settings = Settings(redis_url="redis://host")
    async with (
        opened(behave) as (transport, server),
        Redis(port=server.port, protocol=2, retry=Retry(NoBackoff(), 0)) as theirs,
    ):
        ours = await outcome(transport.call("EVALSHA", "digest", 0))
        expected = await outcome(theirs.evalsha("digest", 0))
        assert (type(ours), str(ours)) == (type(expected), str(expected))
        assert failures.passes(ours) == failures.passes(expected)
        said = [str(failures.explain(error, settings, doing="trying")) for error in (ours, expected)]
        assert said[0] == said[1]
        assert await transport.call("ECHO") == b"OK", "an error is an answer, and not the end"


async def test_an_error_inside_an_array_stays_there() -> None:
    async with opened(answering(b"*3\r\n+a\r\n-NOSCRIPT b\r\n:3\r\n")) as (transport, _):
        first, error, last = await transport.call("EXEC")
        assert (first, last) == (b"a", 3)
        assert isinstance(error, exceptions.NoScriptError)
