"""The identity of the client that makes a call: over HTTP there are many, each with leases of its own."""

import hashlib
import re
from contextvars import ContextVar
from typing import Any

from abe_redis.mcp.compat.sdk_line import SDK_2

CALLER: ContextVar[str | None] = ContextVar("caller", default=None)
"""The client whose call is running; None if there is only one."""

_LONGEST = 24


def caller(context: Any) -> str | None:  # noqa: ANN401 - of either SDK line
    """A name for the client: its own name, and its session if the protocol has sessions.

    Args:
        context: The SDK's context of the call.

    Returns:
        None over stdio. Since protocol 2026-07-28 there are no sessions, and clients of the same name count
        as one.
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
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower())[:_LONGEST].strip("-") or "client"
    session = request.headers.get("mcp-session-id")
    return slug if session is None else f"{slug}-{short(session)}"


def short(session: str) -> str:
    """A digest of a session's id for the client's name, which others may see."""
    return hashlib.sha256(session.encode()).hexdigest()[:8]
