"""The MCP server over HTTP: for many clients at once, on this machine or, with a token, on others."""

import hmac
import ipaddress
import re
from collections.abc import MutableMapping
from dataclasses import dataclass
from typing import Any

import anyio
from mcp.server.transport_security import TransportSecuritySettings

from abe_redis.errors import SettingsError
from abe_redis.mcp.oauth import OAuth, protected
from abe_redis.mcp.sessions import header
from abe_redis.runtime.web import App, Receive, Scope, Send

HEALTH = "/healthz"

_LOCAL = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class HttpEndpoint:
    """Where to listen, and which callers to accept.

    Raises:
        SettingsError: Callers on other machines are possible and there is no token, or it is too short.
    """

    host: str = "127.0.0.1"
    port: int = 8765
    token: str | None = None
    """The bearer token; required unless the address and all names are this machine's own."""
    names: tuple[str, ...] = ()
    """Further host names under which callers reach it, such as a proxy's."""
    idle_seconds: float = 1800.0
    """Time after which a session without requests ends."""
    oauth: OAuth | None = None
    """The authorization server whose tokens clients send, in place of the one bearer token."""

    def __post_init__(self) -> None:
        if self.oauth is not None:
            if self.token is not None:
                raise SettingsError(
                    "There are both --oauth-issuer and a token (ABE_REDIS_MCP_TOKEN): unset one of them, so "
                    "that it is clear who may call."
                )
            return
        if self.token is not None and not self.token.strip():
            raise SettingsError(
                "The token is empty: set a token in ABE_REDIS_MCP_TOKEN, or unset the variable to serve "
                "this machine alone without one."
            )
        if self.token is not None and not _SENDABLE.fullmatch(self.token):
            raise SettingsError(
                "The token in ABE_REDIS_MCP_TOKEN holds a blank, the end of a line or a character that is "
                "not ASCII, which no client can send: give one without."
            )
        if self.token is not None and len(self.token) < _SHORTEST:
            raise SettingsError(
                f"The token has {len(self.token)} characters; give one of {_SHORTEST} or more, as from "
                "`python -c 'import secrets; print(secrets.token_urlsafe())'`."
            )
        if self.token is not None:
            return
        if not _is_local(self.host):
            raise SettingsError(
                f"--host is {self.host!r}, which others can reach: set a token in ABE_REDIS_MCP_TOKEN, or "
                "listen on 127.0.0.1."
            )
        if reached := [name for name in self.names if not _is_local(name)]:
            raise SettingsError(
                f"--allow-host is {reached[0]!r}, under which others can reach this server through a proxy: "
                "set a token in ABE_REDIS_MCP_TOKEN, or leave the option out."
            )

    def security(self) -> TransportSecuritySettings:
        """The accepted hosts and origins; web pages that call this machine by another name are refused."""
        known = [] if self.oauth is None else [self.oauth.host]
        names = [*_LOCAL, *known, *self.names, *([] if self.host in {"0.0.0.0", "::"} else [self.host])]  # noqa: S104
        return TransportSecuritySettings(
            enable_dns_rebinding_protection=True,
            allowed_hosts=[allowed for name in names for allowed in (name, f"{name}:*")],
            allowed_origins=[
                f"{scheme}://{name}{port}"
                for scheme in ("http", "https")
                for name in names
                for port in ("", ":*")
            ],
        )


_SENDABLE = re.compile(r"[!-~]+")
_SHORTEST = 16


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


MOST_REQUESTS = 256
"""Requests at the same time, event streams included; fewer than connections, so that `/healthz` answers."""

MOST_BYTES = 4 * 1024 * 1024
"""Largest body of a request."""
BODY_SECONDS = 30.0
"""Time for a body."""


def http_app(app: App, token: str | None, oauth: OAuth | None = None) -> App:
    """The server behind its token; `/healthz` needs none.

    Args:
        app: The MCP server.
        token: The bearer token that callers must send; None for any caller.
        oauth: The authorization server whose tokens callers must send instead.
    """
    counted = _counted(app)
    behind = counted if oauth is None else protected(counted, oauth)

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"] == HEALTH:
            await _answer(send, 200, b"ok")
        elif not _is_named_well(scope):
            await _answer(send, 421, b"the headers Host and Origin name no host")
        elif token is not None and not _knows(scope, token):
            await _answer(send, 401, b"a bearer token is needed", (b"www-authenticate", b"Bearer"))
        else:
            await behind(scope, receive, send)

    return guard


def _counted(app: App) -> App:
    """An application that gets whole bodies, and not too many at a time: only from who may call it at all."""
    going_on = 0

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal going_on
        if going_on >= MOST_REQUESTS:
            await _answer(send, 503, b"too many requests at the same time", (b"retry-after", b"5"))
            return
        going_on += 1
        try:
            await _with_body(app, scope, receive, send)
        finally:
            going_on -= 1

    return run


async def _with_body(app: App, scope: Scope, receive: Receive, send: Send) -> None:
    """Let the application answer once the body is there; one that is too large or too slow is refused."""
    body, whole = bytearray(), False
    with anyio.move_on_after(BODY_SECONDS):
        while not whole and len(body) <= MOST_BYTES:
            message = await receive()
            if message["type"] != "http.request":
                return  # the client has gone
            body += message.get("body", b"")
            whole = not message.get("more_body")
    if len(body) > MOST_BYTES:
        await _answer(send, 413, b"the body is too large", (b"connection", b"close"))
        return
    if not whole:
        await _answer(send, 408, b"the body did not come in time", (b"connection", b"close"))
        return
    is_read = False

    async def again() -> MutableMapping[str, Any]:
        nonlocal is_read
        if is_read:
            return await receive()
        is_read = True
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    await app(scope, again, send)


_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?")
_ORIGIN = re.compile(
    rb"(?:null|[a-z][a-z0-9+.-]{0,40}://(?:[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?)"
)


def _is_named_well(scope: Scope) -> bool:
    """Whether its host and origin are names with a port: the SDK compares only what stands before a colon."""
    host, origin = header(scope["headers"], b"host"), header(scope["headers"], b"origin")
    return (not host or _HOST.fullmatch(host) is not None) and (
        not origin or _ORIGIN.fullmatch(origin) is not None
    )


def _knows(scope: Scope, token: str) -> bool:
    scheme, _, secret = header(scope["headers"], b"authorization").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(secret, token.encode())


async def _answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    kind = (b"content-type", b"text/plain")
    await send({"type": "http.response.start", "status": status, "headers": [kind, *headers]})
    await send({"type": "http.response.body", "body": body})
