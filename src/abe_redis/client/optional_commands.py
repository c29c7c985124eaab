"""Optional commands: left out where a server, a proxy or a user's rights refuse them.

A proxy such as Envoy or twemproxy, a managed service and an ACL each refuse some commands. A command that no
promise needs is left out from then on, and the log says so once.
"""

import logging
import re
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from redis import exceptions

from abe_redis.client.calls import HungUpError
from abe_redis.client.passing_states import state_of

_LOG = logging.getLogger(__name__)

_REFUSED = re.compile(
    r"unknown (sub)?command|unsupported command|not supported|is not available|is not allowed|not permitted"
    r"|has been disabled|is disabled|command .*disabled|invalid (request|command)|unknown or disabled",
    re.IGNORECASE,
)
"""Answers of Redis, Valkey, Envoy, Upstash, Azure, Google and Alibaba to a command that they lack."""

_accepts: dict[tuple[str, str], bool] = {}
"""Per server and user, the commands that it accepted once, and those that are left out.

A lost connection is no refusal of what was accepted before.
"""


def is_refused(error: BaseException) -> bool:
    """Whether the server has no such command, or does not permit it to this user."""
    if isinstance(error, exceptions.NoPermissionError):
        return True
    return isinstance(error, exceptions.ResponseError) and _REFUSED.search(str(error)) is not None


@contextmanager
def suppress_refusal() -> Iterator[None]:
    """Go on when the server has no such command, or does not permit it to this user."""
    try:
        yield
    except exceptions.ResponseError as error:
        if not is_refused(error):
            raise


def say_left_out(command: str, server: str, reason: object, without: str) -> None:
    """Say once per process, server and user that a command is left out.

    Args:
        command: Its name.
        server: Identifies the server and the user.
        reason: What the server answered.
        without: What is missing without it.
    """
    if _accepts.get((server, command), True):
        _accepts[server, command] = False
        _LOG.warning("The server %s refuses %s (%s): %s.", server, command, str(reason)[:200], without)


async def ask(
    send: Callable[[tuple[Any, ...]], Awaitable[Any]], words: tuple[Any, ...], server: str, without: str
) -> None:
    """Send a command whose answer is not needed; leave it out where it is refused.

    Raises:
        redis.ConnectionError: The connection was lost. If the server hung up on this very command, and never
            accepted it before, the next call leaves it out: twemproxy refuses so.
        redis.TimeoutError: The server did not answer.
    """
    command = " ".join(map(str, words[:2]))
    if not _accepts.get((server, command), True):
        return
    try:
        await send(words)
    except exceptions.AuthenticationError:
        raise
    except HungUpError:
        if (server, command) not in _accepts:
            say_left_out(command, server, "it hung up", without)
        raise
    except exceptions.ResponseError as error:
        if state_of(error) is None:  # else the next connection tries again
            # Any error is harmless: this command is optional.
            say_left_out(command, server, error, without)
    else:
        _accepts[server, command] = True
