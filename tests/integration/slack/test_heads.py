"""Nobody keeps a connection of the door without sending the head of a request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import pytest

from abe_redis import RedisMessageQueueBackend
from abe_redis.runtime import web
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
            assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"


@pytest.mark.promise("Slack's signature covers the body")
@pytest.mark.parametrize(
    ("wrong", "length"),
    [
        ({"X-Slack-Signature": "v0=abc"}, 100_000),
        ({"X-Slack-Request-Timestamp": "1700000000"}, 100_000),
        ({"X-Slack-Request-Timestamp": "now"}, 10),
        ({"X-Slack-Signature": ""}, 100_000),
        ({"X-Slack-Signature": "", "X-Slack-Request-Timestamp": ""}, 201),
    ],
)
async def test_what_cannot_be_slacks_is_refused_from_its_head(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch, wrong: dict[str, str], length: int
) -> None:
    monkeypatch.setattr(http, "ANSWER_SECONDS", 10 * PATIENCE)
    headers = signed(message("hi"), SECRET)[1] | wrong | {"Content-Length": str(length)}
    lines = [f"{name}: {value}" for name, value in headers.items() if value]
    head = "\r\n".join(["POST /slack/events HTTP/1.1", "Host: here", *lines, "", ""])
    async with connection(backend) as (reader, writer):
        writer.write(head.encode() + b"{")  # and the rest never comes
        with anyio.fail_after(PATIENCE):
            assert await reader.readline() == b"HTTP/1.1 401 Unauthorized\r\n"


@pytest.mark.promise("Of at most 512 connections")
async def test_strangers_whose_bodies_never_come_keep_slack_out_of_nothing(
    backend: RedisMessageQueueBackend, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Their heads look as Slack's do: what they sign nobody can know before the body is there."""
    monkeypatch.setattr(http, "ANSWER_SECONDS", 10 * PATIENCE)
    monkeypatch.setattr(web, "most_connections", lambda: 20)
    head = request()[0]
    async with AsyncExitStack() as crowd:
        listening = crowd.enter_context(listen(HOST, 0))
        await crowd.enter_async_context(serving(door(backend), listening, head_seconds=10 * PATIENCE))
        for _ in range(60):
            _, writer = await asyncio.open_connection(*listening.getsockname()[:2])
            crowd.callback(writer.close)
            writer.write(head + b"{")
        with anyio.fail_after(PATIENCE):
            for _ in range(3):
                reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
                writer.write(b"".join(request()))
                assert await reader.readline() == b"HTTP/1.1 200 OK\r\n"
                writer.close()
    assert caplog.text.count("All 20 connections are open.") == 1


HEAD = b"POST /slack/events HTTP/1.1\r\nHost: here\r\n"
UPGRADE = HEAD.replace(b"POST", b"GET") + b"Connection: Upgrade\r\nUpgrade: "
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"


@pytest.mark.promise("Of at most 512 connections")
@pytest.mark.parametrize(
    ("sent", "answer", "then"),
    [
        (UPGRADE + b"websocket\r\nSec-WebSocket-Version: 13\r\n\r\n", b"405", b""),
        (UPGRADE + b"h2c\r\n\r\n", b"405", b""),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400", b""),
        (b"PRI * HTTP/2.0\r\n\r\n", b"405", b"SM\r\n\r\n"),
        (b"nonsense\r\n\r\n", b"400", b""),
        (HEAD + b"X-Long: " + b"x" * 20_000, b"400", b""),
        (HEAD + CHUNKED + b"zz\r\n", b"400", b""),
        (
            HEAD + b"X-Slack-Signature: v0=abc\r\nX-Slack-Request-Timestamp: 1\r\n" + CHUNKED,
            b"401",
            b"zz\r\n",
        ),
        (HEAD.replace(b"POST", b"GET") + b"\r\n", b"405", b"nonsense\r\n\r\n"),
    ],
    ids=["websocket", "h2c", "TLS", "HTTP/2", "no HTTP", "long head", "chunk", "late chunk", "late nonsense"],
)
async def test_a_stranger_fills_no_log(
    backend: RedisMessageQueueBackend,
    caplog: pytest.LogCaptureFixture,
    sent: bytes,
    answer: bytes,
    then: bytes,
) -> None:
    is_no_request = answer == b"400" or then != b""
    with listen(HOST, 0) as listening:
        async with serving(door(backend), listening):
            for _ in range(5):
                reader, writer = await asyncio.open_connection(*listening.getsockname()[:2])
                writer.write(sent)
                with anyio.fail_after(PATIENCE):
                    assert (await reader.readline()).split()[1] == answer
                writer.write(then)
                if is_no_request:
                    await until_closed(reader)
                writer.close()
    assert len(caplog.records) <= 2, caplog.text
    assert {record.name.split(".")[0] for record in caplog.records} <= {"abe_redis"}
    assert "Traceback" not in caplog.text
    assert caplog.text.count("What is no HTTP/1.1 request was refused (400)") == is_no_request
