"""How a socket to a server is opened: every address is tried, and a dead path is noticed.

A host may have several addresses, and some may swallow packets, such as IPv6 without a route or a pod that is
gone. They are tried side by side, each a little later than the one before (RFC 8305, "Happy Eyeballs").
"""

import asyncio
import encodings.idna  # noqa: F401 - the threads of getaddrinfo need it, and none should import at a fork
import os
import socket
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, zip_longest

import anyio

from abe_redis.client.address import Address

HEAD_START_SECONDS = 0.25
"""How long an address is tried before the next one joins; RFC 8305 recommends it."""

_UNACKNOWLEDGED_SECONDS = 1.5
"""How long sent bytes may stay unacknowledged by the peer's kernel: below publish's budget, so that a publish
over a path that died in silence has time for a second connection."""

# An idle connection, such as that of a blocking read, is probed: its path may have died in silence.
_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3}

type _Found = tuple[int, int, int, str, tuple[object, ...]]
"""A row of getaddrinfo's result."""


async def connect[Protocol: asyncio.BaseProtocol](
    address: Address, protocol: Callable[[], Protocol]
) -> asyncio.Transport:
    """Open a connection, with TLS if the address says so.

    Args:
        address: The server.
        protocol: Makes the receiver of the bytes.

    Returns:
        The transport.

    Raises:
        OSError: No address of the server can be reached; the message names each and why.
    """
    loop = asyncio.get_running_loop()
    if address.path is not None:
        transport, _ = await loop.create_unix_connection(protocol, address.path, ssl=address.tls)
        return transport
    connected = await _first((address.host, *address.others), address.port)
    try:
        name = address.host if address.tls else None
        transport, _ = await loop.create_connection(
            protocol, sock=connected, ssl=address.tls, server_hostname=name
        )
    except BaseException:
        connected.close()
        raise
    _notice_death(connected)
    return transport


async def _first(hosts: Sequence[str], port: int) -> socket.socket:
    """A socket connected to the first address that answers."""
    found, problems = await _addresses(hosts, port)
    winners: list[socket.socket] = []

    async def attempt(where: _Found, done: anyio.Event) -> None:
        one = socket.socket(where[0], where[1], where[2])
        try:
            one.setblocking(False)  # noqa: FBT003
            await asyncio.get_running_loop().sock_connect(one, where[4])
        except OSError as error:
            one.close()
            problems.append(f"{where[4][0]}: {os.strerror(error.errno) if error.errno else error}")
        except BaseException:
            one.close()
            raise
        else:
            winners.append(one)
            attempts.cancel_scope.cancel()
        finally:
            done.set()

    try:
        async with anyio.create_task_group() as attempts:
            for where in found:
                done = anyio.Event()
                attempts.start_soon(attempt, where, done)
                with anyio.move_on_after(HEAD_START_SECONDS):
                    await done.wait()
    except BaseException:  # cancelled, perhaps just when one had answered
        _close(winners)
        raise
    _close(winners[1:])
    if not winners:
        raise OSError(f"no address of {', '.join(hosts)} port {port} can be reached ({'; '.join(problems)})")
    return winners[0]


def _close(sockets: Iterable[socket.socket]) -> None:
    for one in sockets:
        one.close()


async def _addresses(hosts: Sequence[str], port: int) -> tuple[list[_Found], list[str]]:
    """Every address of some hosts, families in turn, and why a host has none."""
    found: list[_Found] = []
    problems: list[str] = []
    loop = asyncio.get_running_loop()
    for host in hosts:
        try:
            rows = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            problems.append(f"{host}: {error.strerror or error}")
        else:
            found += _in_turn(rows)
    return list(dict.fromkeys(found)), problems


def _in_turn(rows: Iterable[_Found]) -> list[_Found]:
    """Addresses with the families in turn, the resolver's first choice first."""
    families: dict[int, list[_Found]] = {}
    for row in rows:
        families.setdefault(row[0], []).append(row)
    return [row for row in chain.from_iterable(zip_longest(*families.values())) if row is not None]


def _notice_death(connected: socket.socket) -> None:
    """Let the kernel end a connection whose peer does not answer any more."""
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _KEEPALIVE.items():
        if hasattr(socket, name):
            connected.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        connected.setsockopt(
            socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(_UNACKNOWLEDGED_SECONDS * 1000)
        )
