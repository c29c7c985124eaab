"""The MCP server over HTTP: for many clients at once, on this machine or, with a token, on others."""

import hmac
import ipaddress
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from mcp.server.transport_security import TransportSecuritySettings

from abe_redis.errors import SettingsError
from abe_redis.mcp.compat.sdk import Server
from abe_redis.runtime.web import App, Receive, Scope, Send

PATH, HEALTH = "/mcp", "/healthz"

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
    """The bearer token; required unless the address is this machine's own."""
    names: tuple[str, ...] = ()
    """Further host names under which callers reach it, such as a proxy's."""

    def __post_init__(self) -> None:
        if self.token is not None and len(self.token) < _SHORTEST:
            raise SettingsError(
                f"The token has {len(self.token)} characters; give one of {_SHORTEST} or more, as from "
                "`python -c 'import secrets; print(secrets.token_urlsafe())'`."
            )
        if self.token is None and not _is_local(self.host):
            raise SettingsError(
                f"--host is {self.host!r}, which others can reach: set a token in ABE_REDIS_MCP_TOKEN, or "
                "listen on 127.0.0.1."
            )

    def security(self) -> TransportSecuritySettings:
        """The accepted hosts and origins; web pages that call this machine by another name are refused."""
        names = [*_LOCAL, *self.names, *([] if self.host in {"0.0.0.0", "::"} else [self.host])]  # noqa: S104
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


_SHORTEST = 16


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def http_app(server: Server, address: HttpEndpoint, left: Callable[[str], Awaitable[None]]) -> App:
    """The server behind its token; `/healthz` needs none.

    Args:
        server: The MCP server.
        address: The endpoint, with the callers to accept.
        left: Called with a session that its client has ended.
    """
    app, token = server.http_app(PATH, address.host, address.security()), address.token

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
        elif scope["path"] == HEALTH:
            await _answer(send, 200, b"ok")
        elif token is not None and not _knows(scope, token):
            await _answer(send, 401, b"a bearer token is needed", (b"www-authenticate", b"Bearer"))
        elif scope["method"] == "DELETE":
            await end(scope, receive, send)
        else:
            await app(scope, receive, send)

    async def end(scope: Scope, receive: Receive, send: Send) -> None:
        status = 0

        async def see(message: MutableMapping[str, Any]) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        await app(scope, receive, see)
        if status == HTTPStatus.OK:
            await left(_header(scope, b"mcp-session-id").decode(errors="replace"))

    return guard


def _knows(scope: Scope, token: str) -> bool:
    scheme, _, secret = _header(scope, b"authorization").partition(b" ")
    return scheme.lower() == b"bearer" and hmac.compare_digest(secret, token.encode())


def _header(scope: Scope, name: bytes) -> bytes:
    return next((bytes(value) for one, value in scope["headers"] if one == name), b"")


async def _answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    kind = (b"content-type", b"text/plain")
    await send({"type": "http.response.start", "status": status, "headers": [kind, *headers]})
    await send({"type": "http.response.body", "body": body})
