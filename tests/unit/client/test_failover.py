"""A transport whose server is replaced by another one."""

import asyncio

import pytest
from redis import exceptions

from abe_redis.client.address import Address
from abe_redis.client.topology.sentinel import Sentinels
from abe_redis.client.topology.single import Single
from abe_redis.client.transport import Transport
from tests.unit.fake_server import (
    Behaviour,
    FakeServer,
    Peer,
    bulk,
    echo,
    opened,
    outcome,
    outcomes,
    silence,
    until,
)


def hello(role: bytes) -> bytes:
    return b"*2\r\n$4\r\nrole\r\n" + bulk(role)


def serving(role: bytes) -> Behaviour:
    """Say so when asked for its role, and echo everything else."""

    async def behave(peer: Peer) -> None:
        while True:
            command = await peer.command()
            peer.send(hello(role) if command == [b"HELLO"] else bulk(command[-1]))

    return behave


async def test_a_replica_is_not_connected_to() -> None:
    async with opened(serving(b"replica"), {"primary": True}) as (transport, server):
        (error,) = await outcomes(transport.call("ECHO", "x"))
        assert type(error) is exceptions.ConnectionError
        assert "replica" in str(error)
        assert server.commands == [[b"HELLO"]]


async def test_a_primary_is_accepted() -> None:
    async with opened(serving(b"master"), {"primary": True}) as (transport, _):
        assert await transport.call("ECHO", "x") == b"x"


async def test_a_server_that_became_a_replica_is_left() -> None:
    async def behave(peer: Peer) -> None:
        await peer.command()
        peer.send(hello(b"master"))
        for _ in range(3):
            await peer.command()
        peer.send(b"-READONLY You can't write against a read only replica.\r\n" + bulk(b"2"))
        await silence(peer)

    async with opened(behave, {"primary": True}) as (transport, server):
        first, second, third = await outcomes(*(transport.call("ECHO", n) for n in range(3)))
        assert isinstance(first, exceptions.ReadOnlyError)
        assert second == b"2" or isinstance(second, exceptions.ConnectionError)
        assert isinstance(third, exceptions.ConnectionError)
        server.behaviour = serving(b"master")
        assert await transport.call("ECHO", "x") == b"x"
        assert len(server.peers) == 2


@pytest.mark.promise("A primary that became a replica is abandoned at its first `READONLY`")
async def test_whoever_turns_out_to_be_a_replica_is_left_at_any_address() -> None:
    """The address may lead to the primary by then."""

    async def behave(peer: Peer) -> None:
        while True:
            await peer.command()
            peer.send(b"-READONLY You can't write against a read only replica.\r\n")

    async with opened(behave) as (transport, server):
        for _ in range(3):
            assert isinstance(await outcome(transport.call("SET", "k", 1)), exceptions.ReadOnlyError)
        assert len(server.peers) == 3


async def test_a_dropped_command_fails_and_the_next_call_connects_anew() -> None:
    async with opened(silence) as (transport, server):
        waiting = [asyncio.ensure_future(transport.call("ECHO", n)) for n in range(3)]
        await until(lambda: len(server.commands) == 3)
        server.behaviour = echo
        transport.drop("there is another primary")
        for call in waiting:
            with pytest.raises(exceptions.ConnectionError, match="another primary"):
                await call
        assert await transport.call("ECHO", "x") == b"x"


async def test_before_the_first_call_there_is_nothing_to_drop() -> None:
    async with opened(echo) as (transport, _):
        transport.drop("for no reason")
        assert transport.silent_seconds == 0
        assert await transport.call("ECHO", "x") == b"x"


async def test_the_address_is_asked_for_with_every_connection() -> None:
    async with FakeServer(echo).listening() as one, FakeServer(echo).listening() as other:
        ports = [one.port, other.port]

        async def find() -> Address:
            return Address(host="127.0.0.1", port=ports.pop(0))

        transport = Transport(find)
        for _ in range(2):
            assert await transport.call("ECHO", "x") == b"x"
        transport.drop("there is another primary")
        assert await transport.call("ECHO", "x") == b"x"
        await transport.close()
        assert [len(server.peers) for server in (one, other)] == [1, 1]


async def test_when_nobody_knows_the_address_the_call_fails_as_any_other() -> None:
    async def find() -> Address:
        raise exceptions.ConnectionError("no Sentinel named the primary")

    transport = Transport(find)
    (error,) = await outcomes(transport.call("ECHO", "x"))
    assert "no Sentinel" in str(error)
    await transport.close()


def naming(*ports: int) -> Behaviour:
    """A Sentinel that names a primary, and with each question the next; the last one from then on."""
    left = list(ports)

    async def behave(peer: Peer) -> None:
        while True:
            await peer.command()
            port = b"%d" % left[0]
            if len(left) > 1:
                del left[0]
            peer.send(b"*2\r\n" + bulk(b"127.0.0.1") + bulk(port))

    return behave


async def unknowing(peer: Peer) -> None:
    """A Sentinel that knows no such name."""
    while True:
        await peer.command()
        peer.send(b"*-1\r\n")


def sentinels(*servers: FakeServer) -> Sentinels:
    addresses = [Address(host="127.0.0.1", port=server.port) for server in servers]
    return Sentinels(addresses, "mymaster", lambda host, port: Address(host=host, port=port))


async def test_the_next_sentinel_is_asked_when_one_does_not_know() -> None:
    async with FakeServer(unknowing).listening() as first, FakeServer(naming(7)).listening() as second:
        asked = sentinels(first, second)
        assert (await asked.find()).port == 7
        assert (await asked.find()).port == 7
        await asked.close()
        assert len(first.commands) == 1, "who could not answer is asked last"
        assert second.commands[0] == [b"SENTINEL", b"GET-MASTER-ADDR-BY-NAME", b"mymaster"]


async def test_a_sentinel_that_needs_longer_is_heard_while_the_next_one_is_asked() -> None:
    """One that is far away needs longer each time: to hang up on it would mean never to hear it."""
    next_one = FakeServer(silence)

    async def slow(peer: Peer) -> None:
        while True:
            await peer.command()
            await until(lambda: next_one.commands)
            peer.send(b"*2\r\n" + bulk(b"127.0.0.1") + bulk(b"7"))

    async with FakeServer(slow).listening() as first, next_one.listening():
        asked = sentinels(first, next_one)
        assert (await asked.find()).port == 7
        assert (await asked.find()).port == 7
        await asked.close()
        assert len(first.peers) == 1, "its connection stays"


async def test_silent_sentinels_are_named_in_the_error() -> None:
    async with FakeServer(silence).listening() as first, FakeServer(silence).listening() as second:
        asked = sentinels(first, second)
        with pytest.raises(exceptions.ConnectionError) as failure:
            await asked.find()
        await asked.close()
    for server in (first, second):
        assert f"127.0.0.1:{server.port}: no answer within" in str(failure.value)


async def test_a_refused_password_is_said_and_no_other_sentinel_is_asked() -> None:
    async def refuse(peer: Peer) -> None:
        while True:
            await peer.command()
            peer.send(b"-NOAUTH Authentication required.\r\n")

    async with FakeServer(refuse).listening() as first, FakeServer(naming(7)).listening() as second:
        asked = sentinels(first, second)
        with pytest.raises(exceptions.AuthenticationError):
            await asked.find()
        await asked.close()
        assert not second.commands


async def test_when_no_sentinel_knows_it_is_said_of_each() -> None:
    async with FakeServer(unknowing).listening() as first, FakeServer(unknowing).listening() as second:
        asked = sentinels(first, second)
        with pytest.raises(exceptions.ConnectionError) as failure:
            await asked.find()
        await asked.close()
    for server in (first, second):
        assert f"127.0.0.1:{server.port} knows no 'mymaster'" in str(failure.value)


@pytest.mark.promise("A primary that hangs without closing its connections")
@pytest.mark.parametrize("behaviour", [silence, echo])
async def test_a_primary_is_left_when_the_sentinels_name_another(behaviour: Behaviour) -> None:
    """Whether it hangs, or goes on as if nothing had happened."""
    async with (
        FakeServer(behaviour).listening() as old,
        FakeServer(echo).listening() as new,
        FakeServer(naming(old.port, new.port)).listening() as sentinel,
    ):
        topology = Single(sentinels(sentinel))
        first = asyncio.get_running_loop().create_future()
        topology.send(("ECHO", "x"), first)
        await until(lambda: old.commands)
        waiting = asyncio.get_running_loop().create_future()
        topology.send(("ECHO", "y" * 10_000_000), waiting)
        await topology.refresh()
        with pytest.raises(exceptions.ConnectionError, match="another primary"):
            await waiting
        await outcome(first)  # whatever became of it
        again = asyncio.get_running_loop().create_future()
        topology.send(("ECHO", "x"), again)
        assert await again == b"x"
        assert len(new.peers) == 1
        await topology.close()


async def replicating(peer: Peer) -> None:
    """As `echo`, with a replica that has everything."""
    while True:
        command = await peer.command()
        peer.send(b":1\r\n" if command[0] == b"WAIT" else bulk(command[-1]))


async def sent(topology: Single, *words: str, replicas: int = 0) -> bytes:
    answer = asyncio.get_running_loop().create_future()
    topology.send(words, answer, replicas=replicas)
    said: bytes = await answer
    return said


@pytest.mark.promise("A primary that hangs without closing its connections")
async def test_every_connection_to_a_former_primary_is_left_whatever_others_were_told_meanwhile() -> None:
    """A blocking read that begins right after a failover is told of the new primary, the others were not."""
    async with (
        FakeServer(replicating).listening() as old,
        FakeServer(replicating).listening() as new,
        FakeServer(naming(old.port, old.port, new.port)).listening() as sentinel,
    ):
        topology = Single(sentinels(sentinel))
        await sent(topology, "ECHO", "x")
        await sent(topology, "ECHO", "x", replicas=1)
        assert len(old.peers) == 2
        assert await topology.block(("XREAD", "COUNT", 1, "STREAMS", "s", "$")) == b"$"
        assert len(new.peers) == 1
        await topology.refresh()
        assert await sent(topology, "ECHO", "later") == b"later"
        assert await sent(topology, "ECHO", "later", replicas=1) == b"later"
        assert await topology.block(("XREAD", "COUNT", 1, "STREAMS", "s", "$")) == b"$"
        assert not any(b"later" in command for command in old.commands)
        assert len(new.peers) == 3, "who leads there already stays connected"
        await topology.close()


async def test_before_there_is_a_connection_no_sentinel_is_asked() -> None:
    async with FakeServer(naming(7)).listening() as sentinel:
        topology = Single(sentinels(sentinel))
        await topology.refresh()
        await topology.close()
        assert not sentinel.commands


async def test_a_primary_stays_while_the_sentinels_name_it() -> None:
    async with FakeServer(silence).listening() as slow, FakeServer(naming(slow.port)).listening() as sentinel:
        topology = Single(sentinels(sentinel))
        answer = asyncio.get_running_loop().create_future()
        topology.send(("ECHO", "x"), answer)
        await until(lambda: slow.commands)
        await topology.refresh()
        assert not answer.done()
        await topology.close()
        assert isinstance(await outcome(answer), exceptions.ConnectionError)
