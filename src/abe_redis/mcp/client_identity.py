"""The identity of the client that makes a call: over HTTP there are many, each with leases of its own.

A client is identified by something that it cannot choose: its session, whose id the server made. Since
protocol 2026-07-28 there are no sessions. Such a client is identified by the name it gives and, with an
authorization server, by the owner of its token. The two kinds of identity are separate: no name and no header
gives a client of one kind an identity of the other. Other clients see only a label, which nothing looks up.
"""

import hashlib
import json
import re
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Literal

from abe_redis.mcp.access import ACCESS
from abe_redis.mcp.sdk_line import SDK_2

WITHOUT_SESSIONS = "2026-07-28"
"""The first version of the protocol that has no sessions."""

_LONGEST = 24
_DIGITS = 16


@dataclass(frozen=True, slots=True)
class Identity:
    """A client over HTTP. Two are the same when their kind and key are."""

    kind: Literal["session", "name"]
    """How it is identified."""
    key: str = field(repr=False)
    """The id of its session, which is a secret, or the name that a client without one gives."""
    label: str = field(compare=False)
    """The name that it gives, made safe to show."""

    @classmethod
    def of(cls, kind: Literal["session", "name"], key: str, name: str) -> "Identity":
        """The identity with a label made of any name."""
        label = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_LONGEST].strip("-") or "client"
        return cls(kind, key, label)

    @property
    def consumer(self) -> str:
        """The part of a consumer's name that is this client's alone: others may see it, and not choose it."""
        digest = hashlib.sha256(f"{self.kind}\0{self.key}".encode(errors="surrogatepass")).hexdigest()
        return f"{self.label}-{self.kind[0]}{digest[:_DIGITS]}"


CALLER: ContextVar[Identity | None] = ContextVar("caller", default=None)
"""The client whose call is running; None if there is only one."""


def caller(context: Any) -> Identity | None:  # noqa: ANN401 - of either SDK line
    """The identity of the client that makes a call.

    Args:
        context: The SDK's context of the call.

    Returns:
        None over stdio, where there is only one.
    """
    try:
        request = context.request_context.request
    except (ValueError, LookupError):  # outside of a request
        return None
    if request is None:
        return None
    introduced = context.request_context.session.client_params
    name = ""
    if introduced is not None:
        name = (introduced.client_info if SDK_2 else introduced.clientInfo).name
    access = ACCESS.get()
    person = name if access is None else access.person
    key = name if access is None else json.dumps([access.principal, name])
    session = request.headers.get("mcp-session-id")
    # Without sessions the header is whatever a client writes: the SDK does not look at it.
    if not session or (SDK_2 and (context.protocol_version or "") >= WITHOUT_SESSIONS):
        return Identity.of("name", key, person)
    return Identity.of("session", session, person)
