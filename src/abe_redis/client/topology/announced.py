"""Where the nodes of a cluster are by their own words, some of which say nothing of the host."""

from collections.abc import Sequence
from typing import Any

from redis import exceptions

from abe_redis.client.topology.away import Place

_HOSTS = {b"ip", b"hostname"}
"""What a node is called in a row of CLUSTER SLOTS, beside its host."""


def meant(error: exceptions.AskError, asked: Place | None) -> Place:
    """Where a redirection leads: to the host of the node that gave it, if it names none.

    So it is with `cluster-preferred-endpoint-type unknown-endpoint`, and with a hostname that was not given.

    Args:
        error: The redirection, ASK or MOVED.
        asked: The node that gave it.
    """
    host = asked[0] if asked and error.host in {"", "?"} else error.host
    return host, error.port


def announced(about: Sequence[Any], asked: str) -> tuple[Place, tuple[str, ...]]:
    """Where a node is by a row of CLUSTER SLOTS, and under which further hosts it may be reached.

    A node announces its address, or its hostname and the address beside it. It says `?` for a hostname that
    it was not given, and nothing when it does not know its own name: then the host that was asked is meant.

    Args:
        about: Its host and port, its id, and from Redis 7.0 on a list of more names and values: not
            only hosts, but in Valkey also the availability zone.
        asked: The host of the node that said so.
    """
    host, port, *rest = about
    more = rest[1] if len(rest) > 1 and isinstance(rest[1], list) else []
    named = [value for name, value in zip(more[::2], more[1::2], strict=False) if name in _HOSTS]
    hosts = [one.decode() for one in (host, *named) if one and one != b"?"]
    first, *others = dict.fromkeys(hosts or [asked])
    return (first, int(port)), tuple(others)
