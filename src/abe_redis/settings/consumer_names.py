"""Names of consumers: which ones a process may have, and one that nobody else has."""

import os
import socket

_OF_OTHERS = {
    "abe:": "those of events that nobody holds",
    "mcp-": "those of agents, whose leases count no delivery",
    "cli-": "those of persons at the command line, whose leases count no delivery",
}


def check(name: str | None) -> str | None:
    """The name, unless it looks like one that abe-redis gives to others.

    Raises:
        ValueError: It begins as those of others do.
    """
    for begin, whose in _OF_OTHERS.items():
        if name is not None and name.startswith(begin):
            raise ValueError(f"a name that does not begin with {begin}, as {whose} do")
    return name


def new() -> str:
    """A name of host, process id and a random part."""
    host = socket.gethostname()
    at = "at-" if host.startswith(tuple(_OF_OTHERS)) else ""
    return f"{at}{host}-{os.getpid()}-{os.urandom(3).hex()}"
