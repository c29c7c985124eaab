"""Redirections of a cluster are followed: to a host that is not named, and while a slot moves."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from abe_redis.client.address import Address
from abe_redis.client.topology.cluster import Cluster
from abe_redis.client.topology.slots import slot_of
from tests.unit.fake_server import FakeServer, Peer, bulk

SLOT = slot_of("s")


class Nodes:
    """A node that has all slots, and one to which the slot of `s` moves."""

    def __init__(self, redirection: str, tries: int) -> None:
        self.redirection = redirection
        self.tries = tries
        """How often the target says TRYAGAIN."""
        self.target = FakeServer(self.import_slot)
        self.owner = FakeServer(self.redirect)

    async def redirect(self, peer: Peer) -> None:
        while True:
            words = await peer.command()
            if words == [b"CLUSTER", b"SLOTS"]:
                node = b"*3\r\n$0\r\n\r\n:%d\r\n$2\r\nid\r\n" % self.owner.port
                peer.send(b"*1\r\n*3\r\n:0\r\n:16383\r\n" + node)
            elif words[-1] == b"s":
                peer.send(f"-{self.redirection.format(slot=SLOT, port=self.target.port)}\r\n".encode())
            else:
                peer.send(b"+OK\r\n")

    async def import_slot(self, peer: Peer) -> None:
        while True:
            words = await peer.command()
            if words[-1] == b"s" and self.tries:
                self.tries -= 1
                peer.send(b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n")
            else:
                peer.send(bulk(b"done") if words[-1] == b"s" else b"+OK\r\n")

    @asynccontextmanager
    async def known(self) -> AsyncIterator[Cluster]:
        async with self.owner.listening(), self.target.listening():
            known = [("127.0.0.1", self.owner.port)]
            topology = Cluster(known, lambda host, port: Address(host=host, port=port))
            await topology.refresh()
            yield topology
            await topology.close()


async def send(topology: Cluster, *words: str) -> Any:
    answer = asyncio.get_running_loop().create_future()
    topology.send(words, answer)
    return await answer


REDIRECTIONS = [
    f"{kind} {{slot}} {host}:{{port}}" for kind in ("ASK", "MOVED") for host in ("", "?", "127.0.0.1")
]


@pytest.mark.promise("Commands follow a slot that moves.")
@pytest.mark.parametrize("redirection", REDIRECTIONS)
async def test_a_redirection_without_a_host_leads_to_the_host_that_was_asked(redirection: str) -> None:
    """As with `cluster-preferred-endpoint-type unknown-endpoint`."""
    async with Nodes(redirection, tries=0).known() as topology:
        assert await send(topology, "GET", "s") == b"done"
        read = ("XREAD", "BLOCK", "10", "STREAMS", "s", "s")
        assert await topology.block(read) == b"done"


@pytest.mark.promise("Commands follow a slot that moves.")
async def test_a_half_moved_slot_is_waited_for_for_longer_than_many_redirections() -> None:
    """Each round begins at the owner, which says ASK each time."""
    async with Nodes(REDIRECTIONS[0], tries=40).known() as topology:
        assert await send(topology, "DEL", "r", "s") == b"done"


@pytest.mark.promise("Commands follow a slot that moves.")
async def test_a_blocking_read_waits_for_a_half_moved_slot() -> None:
    async with Nodes(REDIRECTIONS[0], tries=40).known() as topology:
        assert await topology.block(("XREAD", "BLOCK", "10", "STREAMS", "s", "s")) == b"done"
