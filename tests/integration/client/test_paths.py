"""Ways to Redis that are not plain: paths that die silently, hosts of many addresses, streams that vanish."""

import socket
from collections.abc import Iterator, Sequence
from functools import partial

import anyio
import pytest
from redis.asyncio import Redis

from abe_redis import Operations, RedisMessageQueueBackend
from abe_redis.cli.follow import follow
from abe_redis.client.address import Address
from abe_redis.client.topology.slots import slot_of
from abe_redis.client.transport import Transport
from abe_redis.publishing import publisher
from tests.integration.client.proxied import handle, lone_redis, proxy, publish_and_handle, settings, stats
from tests.integration.conftest import until
from tests.patience import PATIENCE
from tests.refusing_proxy import HANG_UP, RefusingProxy
from tests.servers import HOST, Server

__all__ = ["lone_redis", "proxy"]

pytestmark = pytest.mark.one_server


async def test_a_path_that_dies_in_silence_costs_no_publish(proxy: RefusingProxy, lone_redis: Redis) -> None:
    topic = "slack:x"
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        for number in range(5):
            await backend.publish(topic, {"number": number})
            proxy.forget()
    assert await lone_redis.xlen(topic) == 5


async def test_a_server_that_is_only_busy_keeps_its_connection(
    proxy: RefusingProxy, lone_redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server answers nobody, a second connection proves nothing."""
    monkeypatch.setattr(publisher, "PUBLISH_SECONDS", PATIENCE)
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        await backend.publish("slack:x", {})
        before = proxy.accepted
        began = anyio.current_time()
        await lone_redis.client_pause(1500)
        await backend.publish("slack:x", {})
        assert proxy.accepted - before <= 2 * (anyio.current_time() - began)


@pytest.fixture
def silent_address(lone_server: Server) -> Iterator[str]:
    """An address that swallows packets, at the server's port: its queue of connections is full."""
    with socket.socket() as listening:
        try:
            listening.bind(("127.0.0.2", lone_server.port))
        except OSError:
            pytest.fail("127.0.0.2 is no address of this machine")
        listening.listen(0)
        waiting = []
        for _ in range(4):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.2", lone_server.port))
            waiting.append(one)
        yield "127.0.0.2"
        for one in waiting:
            one.close()


async def test_a_host_is_reached_though_its_first_address_swallows_packets(
    lone_server: Server, silent_address: str
) -> None:
    address = Address(host=silent_address, others=(HOST,), port=lone_server.port)
    transport = Transport(address)
    with anyio.fail_after(PATIENCE):
        assert await transport.call("PING") == b"PONG"
    await transport.close()


async def test_one_endpoint_of_many_slots_is_asked_slot_by_slot(proxy: RefusingProxy) -> None:
    """As with ElastiCache Serverless and the proxy of Redis Enterprise."""

    def one_slot(words: Sequence[bytes]) -> bytes | None:
        keys = _keys(words)
        crossing = len({slot_of(key) for key in keys}) > 1
        return b"-CROSSSLOT Keys in request don't hash to the same slot\r\n" if crossing else None

    proxy.refusal = one_slot
    topics = [f"slack:{name}" for name in "abcde"]
    assert await publish_and_handle(settings(proxy), *topics) == [0, 1, 2, 3, 4]
    assert set(await stats(settings(proxy), None)) >= set(topics)


def _keys(words: Sequence[bytes]) -> list[bytes]:
    name = words[0].upper()
    if name in {b"EVAL", b"EVALSHA"}:
        return list(words[3 : 3 + int(words[2])])
    if name in {b"XREADGROUP", b"XREAD"}:
        behind = list(words[list(map(bytes.upper, words)).index(b"STREAMS") + 1 :])
        return behind[: len(behind) // 2]
    return list(words[1:]) if name in {b"DEL", b"EXISTS", b"UNLINK", b"MGET"} else []


# --- Streams that vanish between two commands ---------------------------------------------------------


async def test_a_stream_that_vanishes_under_who_looks_and_who_reads_ends_nobody(
    proxy: RefusingProxy, lone_redis: Redis, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is there for one command, and for the next it is not: XINFO says "no such key"."""
    topic, shown, handled, said = "slack:x", list[int](), list[int](), list[str]()
    vanished = 3

    def vanish(words: Sequence[bytes]) -> bytes | None:
        nonlocal vanished
        if not vanished or words[0].upper() != b"XINFO":
            return None
        vanished -= 1
        return b"-ERR no such key\r\n"

    async def all_is_seen() -> bool:
        said.append(capfd.readouterr().err)
        return not vanished and shown[-1:] == [1] and handled == [0, 1]

    async with RedisMessageQueueBackend(settings(proxy)) as backend, anyio.create_task_group() as tasks:
        await backend.publish(topic, {"number": 0})
        await backend.publish(topic, {"number": 1})
        proxy.refusal = vanish
        show = lambda event: shown.append((event.payload or {})["number"])  # noqa: E731 - named where it is used
        tasks.start_soon(partial(follow, Operations(backend), show, stream=topic, count=1, start="0-0"))
        tasks.start_soon(handle, backend, handled, 2)
        await until(all_is_seen)
        tasks.cancel_scope.cancel()
    assert f"Somebody removed a stream while reading '{topic}' at" in "".join(said)


# --- Sentences ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (b"-MOVED 13725 10.0.0.7:6379\r\n", "write redis\\+cluster://"),
        (b"-ERR unknown command 'EVALSHA'\r\n", "write redis\\+sentinel://"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "is not Redis: check the host and the port"),
        (b"-ERR DB index is out of range\r\n", "use /0"),
        (b"-DENIED Redis is running in protected mode\r\n", "requirepass"),
        (HANG_UP, "write rediss://"),
    ],
)
async def test_confused_settings_are_refused_with_the_setting_to_change(
    proxy: RefusingProxy, refusal: bytes, advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("abe_redis.publishing.publisher.PUBLISH_SECONDS", 0.5)
    proxy.refusal = lambda _: refusal
    async with RedisMessageQueueBackend(settings(proxy)) as backend:
        with pytest.raises(Exception, match=advice):
            await backend.publish("slack:x", {})
