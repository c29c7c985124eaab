"""What the token of a call allows, when an authorization server gives out tokens.

A scope is a power (`read`, `work`, `redrive` or `publish`), alone or with the streams and the groups for
which it is given: `work/slack:ops/bot`, `read/slack_*`. Names are globs, as in REDIS_STREAM_PATTERNS. No
scope gives what the server itself does not offer.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from abe_redis.errors import RequestError
from abe_redis.streams.patterns import Narrowed, Patterns

type Power = Literal["read", "work", "redrive", "publish"]

POWERS: tuple[Power, ...] = get_args(Power.__value__)

OF_TOOLS: dict[str, Power] = {
    "stream_stats": "read",
    "read_stream": "read",
    "count_events": "read",
    "lease_events": "work",
    "ack": "work",
    "release": "work",
    "redrive": "redrive",
    "publish_event": "publish",
}


@dataclass(frozen=True, slots=True)
class Grant:
    """A power, for some streams and groups."""

    power: Power
    streams: str = "*"
    groups: str = "*"

    @classmethod
    def of(cls, scope: str) -> "Grant | None":
        """The grant of a scope; None when the scope is not ours."""
        power, *names = scope.split("/")
        if power not in POWERS or len(names) > 2 or "" in names:  # noqa: PLR2004 - a stream and a group
            return None
        return cls(power, *names)


@dataclass(frozen=True, slots=True)
class Access:
    """The caller of a call, and what its token allows."""

    person: str
    """The caller's name at the authorization server, for the audit."""
    principal: str
    """Identifies one person at one client; nobody can choose it."""
    grants: tuple[Grant, ...]

    @classmethod
    def of(cls, person: str, principal: str, scopes: Iterable[str]) -> "Access":
        """The access that scopes give; those that are not ours give nothing."""
        return cls(person, principal, tuple(grant for one in scopes if (grant := Grant.of(one))))


ACCESS: ContextVar[Access | None] = ContextVar("access", default=None)
"""The access of the current call; None without an authorization server."""
_WITHIN: ContextVar[tuple[Grant, ...] | None] = ContextVar("within", default=None)
"""The grants of the power that the call needs."""


@contextmanager
def within(power: Power) -> Iterator[None]:
    """Run a block with the streams and groups for which the caller has a power, if any."""
    access = ACCESS.get()
    found = None if access is None else tuple(one for one in access.grants if one.power == power)
    token = _WITHIN.set(found)
    try:
        yield
    finally:
        _WITHIN.reset(token)


def check(power: Power) -> None:
    """Refuse a call whose token does not give a power for anything.

    Raises:
        RequestError: It does not.
    """
    access = ACCESS.get()
    if access is not None and not any(one.power == power for one in access.grants):
        has = ", ".join(sorted({one.power for one in access.grants})) or "none of this server"
        raise RequestError(
            f"Your token does not have the scope {power!r} (it has: {has}). Ask the user to sign in again "
            "with it."
        )


def check_resource(stream: str | None) -> None:
    """Refuse to tell a caller of changes of a stream, or of all, for which it may not read.

    Raises:
        RequestError: It may not.
    """
    grants = _WITHIN.get()
    if grants is None or any(_has(one.streams, stream) if stream else one.streams == "*" for one in grants):
        return
    raise RequestError(
        f"Your token does not allow to read {repr(stream) if stream else 'all streams'}: ask the user "
        "to sign in again with the scope 'read', or follow a stream that it allows."
    )


def narrowed(patterns: Patterns) -> Patterns:
    """Of these streams, those for which the call has its power."""
    grants = _WITHIN.get()
    if grants is None or any(one.streams == "*" for one in grants):
        return patterns
    return Narrowed(patterns, sorted({one.streams for one in grants}))


def check_stream(stream: str, patterns: Patterns) -> None:
    """Refuse one of these streams for which the call does not have its power.

    Raises:
        RequestError: It does not.
    """
    grants = _WITHIN.get()
    if not grants or narrowed(patterns).match(stream):
        return
    has = ", ".join(sorted({one.streams for one in grants}))
    raise RequestError(
        f"Your token does not allow this in the stream {stream!r}, only in: {has}. Ask the user to sign in "
        f"again with the scope '{grants[0].power}/{stream}', or use a stream that it allows."
    )


def check_group(group: str, stream: str) -> None:
    """Refuse work in a group of a stream for which the call does not have its power.

    Raises:
        RequestError: It does not.
    """
    grants = _WITHIN.get()
    if grants is None or any(_has(one.streams, stream) and _has(one.groups, group) for one in grants):
        return
    raise RequestError(
        f"Your token does not allow this in the group {group!r} of {stream!r}. Ask the user for the scope, "
        f"such as 'work/{stream}/{group}', or work in another group."
    )


def _has(glob: str, name: str) -> bool:
    return glob == "*" or Patterns([glob]).match(name)
