"""Where the nodes of a cluster are by what they announce."""

import asyncio
from typing import Any

import pytest

from abe_redis.client.address import Address
from abe_redis.client.topology.cluster import Cluster
from tests.unit.fake_server import Behaviour, FakeServer, Peer, bulk

ZONE = ["availability-zone", "us-east-1a"]


def told(word: Any) -> bytes:
    match word:
        case None:
            return b"$-1\r\n"
        case list():
            return b"*%d\r\n" % len(word) + b"".join(map(told, word))
        case int():
            return b":%d\r\n" % word
        case _:
            return bulk(word.encode())


def announcing(host: str | None, more: list[Any]) -> Behaviour:
    """A node that has all slots, and says so under this host."""

    async def behave(peer: Peer) -> None:
        port = peer.writer.get_extra_info("sockname")[1]
        while True:
            command = await peer.command()
            rows = [[0, 16383, [host, port, "id", more]]]
            peer.send(told(rows if command == [b"CLUSTER", b"SLOTS"] else "done"))

    return behave


@pytest.mark.parametrize(
    ("host", "more", "hosts"),
    [
        ("", ZONE, ["localhost"]),
        (None, ZONE, ["localhost"]),
        ("?", ["ip", "127.0.0.1", *ZONE], ["127.0.0.1"]),
        ("127.0.0.1", [*ZONE, "hostname", "localhost"], ["127.0.0.1", "localhost"]),
        ("127.0.0.1", [], ["127.0.0.1"]),
    ],
)
async def test_only_hosts_are_asked_for(
    host: str | None, more: list[Any], hosts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node of Valkey also announces its availability zone, which is no host."""
    async with FakeServer(announcing(host, more)).listening() as server:
        topology = Cluster([("localhost", server.port)], lambda host, port: Address(host=host, port=port))
        await topology.refresh()
        loop, asked = asyncio.get_running_loop(), list[str]()
        resolve = loop.getaddrinfo

        async def noted(name: str, *rest: Any, **options: Any) -> Any:
            asked.append(name)
            return await resolve(name, *rest, **options)

        async def send(*words: str) -> Any:
            answer = asyncio.get_running_loop().create_future()
            topology.send(words, answer)
            return await answer

        assert await send("GET", "s") == b"done"
        monkeypatch.setattr(loop, "getaddrinfo", noted)
        for node in topology.servers():
            node.drop("so that it is connected to again")
        assert await send("GET", "s") == b"done"
        await topology.close()
    assert asked == hosts
