"""The MCP server as an OAuth 2.1 resource server: whose tokens it takes, and what they must say.

Tokens are JWTs, signed by a key that the issuer publishes (JWKS). What the answer to a client without one
says, and the document that names the issuer, are the SDK's own.
"""

import json
import logging
import time
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.authentication import AuthenticationError
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, Router

from abe_redis.errors import SettingsError
from abe_redis.mcp.access import POWERS, Access
from abe_redis.mcp.issuer_keys import IssuerKeys, may_trust
from abe_redis.runtime.web import App, Receive, Scope, Send

_LOG = logging.getLogger(__name__)

METADATA = "/.well-known/oauth-protected-resource"

_TYPES = frozenset(["jwt", "at+jwt", "application/at+jwt"])
"""The types that an access token may name; other types are for signing out, for proofs and more."""
_LEEWAY_SECONDS = 30
_LONGEST_TOKEN = 16 * 1024


@dataclass(frozen=True, slots=True)
class OAuth:
    """The authorization server, and this server as it and the clients know it.

    Raises:
        SettingsError: One of them is no URL that can be trusted.
    """

    issuer: str
    """The issuer, exactly as its tokens name it."""
    resource: str
    """The URL of this server's endpoint, which a token must name as its audience."""

    def __post_init__(self) -> None:
        for option, url in (("--oauth-issuer", self.issuer), ("--oauth-resource", self.resource)):
            if not may_trust(url):
                raise SettingsError(
                    f"{option} is {url!r}: give an https:// URL without query; http:// is for this machine "
                    "alone."
                )

    @property
    def host(self) -> str:
        """The name under which clients reach this server."""
        return urlsplit(self.resource).hostname or ""


class Token(AccessToken):
    """A token that was checked."""

    access: Access


@dataclass(slots=True)
class Tokens:
    """Checks tokens of one issuer for one resource."""

    oauth: OAuth
    _keys: IssuerKeys = field(init=False)

    def __post_init__(self) -> None:
        self._keys = IssuerKeys(self.oauth.issuer)

    async def verify_token(self, token: str) -> Token | None:
        """The token, if it is the issuer's, for this resource, and not over.

        Raises:
            IssuerAwayError: The issuer does not say which keys are its own, so nobody can tell.
        """
        import jwt  # noqa: PLC0415 - only for servers that need it

        if len(token) > _LONGEST_TOKEN:
            return None
        try:
            header = jwt.get_unverified_header(token)
            is_access = str(header.get("typ") or "jwt").lower() in _TYPES
            key = await self._keys.find(header.get("kid"), header.get("alg")) if is_access else None
            if key is None:
                return None
            resource = self.oauth.resource
            claims = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name],
                audience=[resource, f"{resource.rstrip('/')}/", resource.rstrip("/")],
                issuer=self.oauth.issuer,
                leeway=_LEEWAY_SECONDS,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError as error:
            _LOG.info("A token was refused (%s).", type(error).__name__)
            return None
        if "cnf" in claims:
            _LOG.info("A token was refused: it is bound to a key of the client's, which is not checked here.")
            return None
        return _checked(token, claims, resource)


def _checked(token: str, claims: dict[str, Any], resource: str) -> Token:
    scopes = claims.get("scope", claims.get("scp", ()))
    scopes = scopes.split() if isinstance(scopes, str) else scopes
    scopes = [str(one) for one in scopes] if isinstance(scopes, list) else []
    subject = str(claims["sub"])
    client = str(claims.get("client_id") or claims.get("azp") or "")
    names = (claims.get(name) for name in ("email", "preferred_username", "name"))
    person = next((one for one in names if isinstance(one, str) and one), subject)
    principal = json.dumps([claims["iss"], subject, client])
    more: dict[str, Any] = {"subject": subject, "claims": claims}  # of which the oldest SDK knows nothing
    return Token(
        token=token,
        client_id=client or subject,
        scopes=scopes,
        expires_at=int(claims["exp"]) + _LEEWAY_SECONDS,
        resource=resource,
        access=Access.of(person, principal, scopes),
        **more,
    )


def access_of(scope: Any) -> Access | None:  # noqa: ANN401 - ASGI
    """The access of a request; None where no authorization server is asked."""
    token = _token_of(scope)
    return None if token is None else token.access


def _token_of(scope: Any) -> Token | None:  # noqa: ANN401 - ASGI
    user = scope.get("user")
    token = user.access_token if isinstance(user, AuthenticatedUser) else None
    return token if isinstance(token, Token) else None


def _naming(document: App, oauth: OAuth) -> App:
    """The SDK's document with the URLs as they were given: it adds a slash, which strict clients refuse."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        head: MutableMapping[str, Any] = {}
        body = b""

        async def exactly(message: MutableMapping[str, Any]) -> None:
            nonlocal head, body
            if message["type"] == "http.response.start":
                head = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            if head["status"] == HTTPStatus.OK and scope["method"] == "GET":
                said = json.loads(body)
                said |= {"resource": oauth.resource, "authorization_servers": [oauth.issuer]}
                body = json.dumps(said).encode()
                kept = [one for one in head["headers"] if one[0].lower() != b"content-length"]
                head["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
            await send(head)
            await send({"type": "http.response.body", "body": body})

        await document(scope, receive, exactly)

    return run


def _come_again(_: HTTPConnection, error: AuthenticationError) -> Response:
    """Not 401, at which clients throw a good token away."""
    return PlainTextResponse(str(error), HTTPStatus.SERVICE_UNAVAILABLE, {"retry-after": "5"})


def _while_it_counts(token: Token, app: App) -> App:
    """An application whose streams of notifications end with the token: a client opens them with the next.

    A call that began in time may end.
    """

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        method = next((value for name, value in scope["headers"] if name.lower() == b"mcp-method"), b"")
        if token.expires_at is None or (scope["method"] != "GET" and method != b"subscriptions/listen"):
            await app(scope, receive, send)
            return
        ends_at, is_under_way, is_over = anyio.current_time() + token.expires_at - time.time(), False, False

        async def hear() -> MutableMapping[str, Any]:
            nonlocal is_over
            with anyio.CancelScope(deadline=ends_at):
                return await receive()
            is_over = True
            return {"type": "http.disconnect"}

        async def say(message: MutableMapping[str, Any]) -> None:
            nonlocal is_under_way
            is_under_way = bool(message.get("more_body")) or message["type"] == "http.response.start"
            await send(message)

        await app(scope, hear, say)
        if is_under_way and is_over:
            await send({"type": "http.response.body"})

    return run


def protected(app: App, oauth: OAuth) -> App:
    """An application behind its tokens, and beside it the document that says where clients get some.

    Who has no token that counts is refused from the head of the request: the application never sees it.
    """
    resource = AnyHttpUrl(oauth.resource)
    routes = create_protected_resource_routes(
        resource_url=resource,
        authorization_servers=[AnyHttpUrl(oauth.issuer)],
        scopes_supported=list(POWERS),
        resource_name="abe-redis",
    )
    # Several clients look for it at the root, too.
    found = Router([*routes, *(Route(METADATA, one.endpoint, methods=["GET"]) for one in routes)])
    document = _naming(found, oauth)

    async def allowed(scope: Scope, receive: Receive, send: Send) -> None:
        token = _token_of(scope)
        if token is not None and token.access.grants:
            await _while_it_counts(token, app)(scope, receive, send)
            return
        refusal: Any = RequireAuthMiddleware(app, ["read"], build_resource_metadata_url(resource))
        await refusal(scope, receive, send)

    known: Any = AuthenticationMiddleware(
        RequireAuthMiddleware(allowed, [], build_resource_metadata_url(resource)),
        backend=BearerAuthBackend(Tokens(oauth)),
        on_error=_come_again,
    )

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        to: Any = document if scope["path"].startswith(METADATA) else known
        await to(scope, receive, send)

    return run
