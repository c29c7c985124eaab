"""Nobody keeps a connection of the door without sending the head of a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend
from abe_redis.runtime.web import listen, serving
from abe_redis.slack import http
from abe_redis.testing import message
from abe_redis.testing.signing import signed
from tests.integration.slack.doors import SECRET, door
from tests.patience import PATIENCE
from tests.servers import HOST

HEAD_SECONDS = 2.0


def request() -> tuple[bytes, bytes]:
    """The head and the body of a request that is signed now."""
    body, headers = signed(message("hi"), SECRET)
    lines = (
        "POST /slack/events HTTP/1.1",
        "Host: here",
        *(f"{name}: {value}" for name, value in headers.items()),
        f"Content-Length: {len(body)}",
        "",
    )
    return "".join(f"{line}\r\n" for line in lines).encode(), body


@asynccontextmanager
async def connection(
    backend: RedisMessageQueueBackend,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    with listen(HOST, 0) as listening:
        async with serving(door(backend), listening, head_seconds=HEAD_SECONDS):
            reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            try:
                yield reader, writer
            finally:
                writer.close()


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """What comes until the connection ends."""
    with anyio.fail_after(PATIENCE):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


@pytest.mark.parametrize("sent", [b"", b"P", request()[0][:-2]])
async def test_a_connection_without_a_whole_head_is_closed(
    backend: RedisMessageQueueBackend, sent: bytes
) -> None:
    async with connection(backend) as (reader, writer):
        writer.write(sent)
        assert await until_closed(reader) == b""


async def test_a_slow_body_is_waited_for_and_the_connection_may_be_used_again(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", PATIENCE)
    head, body = request()
    async with connection(backend) as (reader, writer):
        writer.write(head + body[:10])
        await anyio.sleep(2 * HEAD_SECONDS)
        writer.write(body[10:])
        with anyio.fail_after(PATIENCE):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b"\r\n\r\n")
        writer.write(head + body)
        with anyio.fail_after(PATIENCE):
            assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
            await reader.readuntil(b"\r\n\r\n")
        writer.write(b"POST /slack")  # a head that never ends, on a connection that was in use
        assert await until_closed(reader) == b""


async def test_a_body_that_never_comes_is_answered_in_slacks_time(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 0.2)
    async with connection(backend) as (reader, writer):
        head, body = request()
        writer.write(head + body[:10])
        with anyio.fail_after(PATIENCE):
            assert await reader.readline() == b"HTTP/1.1 503 Service Unavailable\r\n"
