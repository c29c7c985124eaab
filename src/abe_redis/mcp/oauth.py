"""The MCP server as an OAuth 2.1 resource server: whose tokens it takes, and what they must say.

Tokens are JWTs, signed by a key that the issuer publishes (JWKS). What the answer to a client without one
says, and the document that names the issuer, are the SDK's own.
"""

import http.client
import json
import logging
import ssl
from collections.abc import MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser, BearerAuthBackend, RequireAuthMiddleware
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.routes import build_resource_metadata_url, create_protected_resource_routes
from pydantic import AnyHttpUrl
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.routing import Route, Router

from abe_redis.errors import SettingsError
from abe_redis.mcp.access import POWERS, Access
from abe_redis.runtime import clock
from abe_redis.runtime.web import App, Receive, Scope, Send

_LOG = logging.getLogger(__name__)

METADATA = "/.well-known/oauth-protected-resource"

_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a key that only the issuer has; with a shared secret, or none, anybody could sign."""
_TYPES = frozenset(["jwt", "at+jwt", "application/at+jwt"])
"""The types that an access token may name; other types are for signing out, for proofs and more."""
_LEEWAY_SECONDS = 30
_FETCH_SECONDS, _MOST_BYTES = 5.0, 1024 * 1024
_AGAIN_SECONDS = 30.0
"""Least time between two looks at the issuer's keys, however many tokens name an unknown one."""
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
            if not _may_trust(url):
                raise SettingsError(
                    f"{option} is {url!r}: give an https:// URL without query; http:// is for this machine "
                    "alone."
                )

    @property
    def host(self) -> str:
        """The name under which clients reach this server."""
        return urlsplit(self.resource).hostname or ""


def _may_trust(url: str) -> bool:
    try:
        parts = urlsplit(url)
        local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    except ValueError:
        return False
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and local)


class Token(AccessToken):
    """A token that was checked."""

    access: Access


@dataclass(slots=True)
class Tokens:
    """Checks tokens of one issuer for one resource."""

    oauth: OAuth
    _keys: dict[str, Any] = field(default_factory=dict)
    """The issuer's public keys, by their ids."""
    _looked_at: float | None = None
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def verify_token(self, token: str) -> Token | None:
        """The token, if it is the issuer's, for this resource, and not over."""
        import jwt  # noqa: PLC0415 - only for servers that need it

        if len(token) > _LONGEST_TOKEN:
            return None
        try:
            header = jwt.get_unverified_header(token)
            is_access = str(header.get("typ") or "jwt").lower() in _TYPES
            key = await self._key(header) if is_access else None
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

    async def _key(self, header: dict[str, Any]) -> Any:  # noqa: ANN401 - PyJWT's key
        """The key that signed a token; the keys are looked at again when it is unknown."""
        name, algorithm = header.get("kid"), header.get("alg")
        if algorithm not in _ALGORITHMS:
            return None
        async with self._lock:
            if (found := self._find(name, algorithm)) is None and self._may_look():
                self._looked_at = clock.now()
                try:
                    self._keys = await _keys_of(self.oauth.issuer)
                except (OSError, ValueError, http.client.HTTPException) as error:
                    _LOG.warning(
                        "The keys of %s could not be fetched (%s): tokens signed with other keys are "
                        "refused.",
                        self.oauth.issuer,
                        error,
                    )
                found = self._find(name, algorithm)
        return found

    def _find(self, name: object, algorithm: str) -> Any:  # noqa: ANN401 - PyJWT's key
        one = next(iter(self._keys.values())) if name is None and len(self._keys) == 1 else None
        found = one or (self._keys.get(name) if isinstance(name, str) else None)
        return found if found is not None and found.algorithm_name == algorithm else None

    def _may_look(self) -> bool:
        return self._looked_at is None or clock.now() - self._looked_at >= _AGAIN_SECONDS


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


async def _keys_of(issuer: str) -> dict[str, Any]:
    """The public keys of an issuer, by their ids."""
    import jwt  # noqa: PLC0415

    parts = urlsplit(issuer)
    base, path = f"{parts.scheme}://{parts.netloc}", parts.path.rstrip("/")
    failure: Exception = ValueError("no metadata")
    for where in (
        f"{base}/.well-known/oauth-authorization-server{path}",
        f"{base}{path}/.well-known/openid-configuration",
        f"{base}/.well-known/openid-configuration{path}",
    ):
        try:
            metadata = await anyio.to_thread.run_sync(_fetched, where, abandon_on_cancel=True)
        except (OSError, ValueError, http.client.HTTPException) as error:
            failure = error
            continue
        if metadata.get("issuer") != issuer:
            raise ValueError(f"its metadata names another issuer, {str(metadata.get('issuer'))[:200]!r}")
        keys = str(metadata.get("jwks_uri"))
        if not _may_trust(keys):
            raise ValueError(f"its jwks_uri is {keys[:200]!r}")
        found = await anyio.to_thread.run_sync(_fetched, keys, abandon_on_cancel=True)
        return dict(_usable(jwt, found))
    raise failure


def _usable(jwt: Any, found: dict[str, Any]) -> list[tuple[str, Any]]:  # noqa: ANN401 - the module
    """The keys that sign, and of which only the issuer has the other half."""
    usable = []
    for number, one in enumerate(found.get("keys", ())):
        if not isinstance(one, dict) or one.get("kty") == "oct" or one.get("use", "sig") != "sig":
            continue
        try:
            usable.append((str(one.get("kid", number)), jwt.PyJWK(one)))
        except jwt.PyJWTError as error:
            _LOG.info("A key of the issuer cannot be used (%s).", error)
    return usable


def _fetched(url: str) -> dict[str, Any]:
    """A JSON document; redirects are not followed."""
    parts = urlsplit(url)
    connection = (
        http.client.HTTPSConnection(
            parts.netloc, timeout=_FETCH_SECONDS, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.netloc, timeout=_FETCH_SECONDS)
    )
    try:
        connection.request("GET", parts.path or "/", headers={"Accept": "application/json"})
        answer = connection.getresponse()
        body = answer.read(_MOST_BYTES + 1)
    finally:
        connection.close()
    if answer.status != http.HTTPStatus.OK or len(body) > _MOST_BYTES:
        raise ValueError(f"{url} answers {answer.status} with {len(body)} bytes")
    found = json.loads(body)
    if not isinstance(found, dict):
        raise ValueError(f"{url} is no object")  # noqa: TRY004 - of what came, not of a type
    return found


def access_of(scope: Any) -> Access | None:  # noqa: ANN401 - ASGI
    """The access of a request; None where no authorization server is asked."""
    user = scope.get("user")
    token = user.access_token if isinstance(user, AuthenticatedUser) else None
    return token.access if isinstance(token, Token) else None


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
            if head["status"] == http.HTTPStatus.OK and scope["method"] == "GET":
                said = json.loads(body)
                said |= {"resource": oauth.resource, "authorization_servers": [oauth.issuer]}
                body = json.dumps(said).encode()
                kept = [one for one in head["headers"] if one[0].lower() != b"content-length"]
                head["headers"] = [*kept, (b"content-length", str(len(body)).encode())]
            await send(head)
            await send({"type": "http.response.body", "body": body})

        await document(scope, receive, exactly)

    return run


def protected(app: App, oauth: OAuth) -> App:
    """An application behind its tokens, and beside it the document that says where clients get some."""
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
        access = access_of(scope)
        if access is not None and access.grants:
            await app(scope, receive, send)
            return
        refusal: Any = RequireAuthMiddleware(app, ["read"], build_resource_metadata_url(resource))
        await refusal(scope, receive, send)

    known: Any = AuthenticationMiddleware(
        RequireAuthMiddleware(allowed, [], build_resource_metadata_url(resource)),
        backend=BearerAuthBackend(Tokens(oauth)),
    )

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        to: Any = document if scope["path"].startswith(METADATA) else known
        await to(scope, receive, send)

    return run
