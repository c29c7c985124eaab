"""The public keys of an OAuth issuer: looked at anew as they age, and when a token names an unknown one."""

import http.client
import json
import logging
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.to_thread
from starlette.authentication import AuthenticationError

from abe_redis.runtime import clock

_LOG = logging.getLogger(__name__)

type _Key = dict[str, Any]
"""PyJWT's keys, by the algorithms that a published key is for."""

_OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_ALGORITHMS = frozenset([*_OF_RSA, "ES256", "ES384", "ES512", "EdDSA"])
"""Signatures by a key that only the issuer has; with a shared secret, or none, anybody could sign."""
_FETCH_SECONDS, _MOST_BYTES = 5.0, 1024 * 1024
"""The most that a look may take, all documents together, and the most that one may have."""
_FRESH_SECONDS = 300.0
"""Time for which keys count without another look: an issuer that withdraws one is heard by then."""
_AGAIN_SECONDS = 30.0
"""Least time between two looks, however many tokens name an unknown key."""
_AFTER_FAILURE_SECONDS = 2.0
"""The same after a look that failed, for tokens whose key is unknown."""


class IssuerAwayError(AuthenticationError):
    """The issuer cannot be asked for its keys, so a token is neither good nor bad."""


@dataclass(slots=True)
class IssuerKeys:
    """The keys of one issuer."""

    issuer: str
    _keys: dict[str, _Key] = field(default_factory=dict)
    """By their ids. What was found last counts as long as the issuer is away."""
    _found_at: float | None = None
    """When a look last succeeded."""
    _looked_at: float | None = None
    """When a look last ended, well or not."""
    _has_failed: bool = False
    """Whether that look did not end well."""
    _lock: anyio.Lock = field(default_factory=anyio.Lock)

    async def find(self, name: object, algorithm: object) -> Any:  # noqa: ANN401 - PyJWT's key
        """The key that a token names, if the issuer has it for this algorithm; else None.

        One caller at a time looks at the issuer. The others wait only if their key is unknown.

        Raises:
            IssuerAwayError: There is no such key, and the last look at the issuer failed.
        """
        if algorithm not in _ALGORITHMS:
            return None
        found = self._known(name, algorithm)
        if found is not None and (self._is_fresh() or self._lock.locked()):
            return found
        async with self._lock:
            if self._may_look(is_known=self._known(name, algorithm) is not None):
                await self._look()
        found = self._known(name, algorithm)
        if found is None and self._has_failed:
            raise IssuerAwayError("The issuer does not say which keys are its own: try again.")
        return found

    def _known(self, name: object, algorithm: object) -> Any:  # noqa: ANN401 - PyJWT's key
        one = next(iter(self._keys.values())) if name is None and len(self._keys) == 1 else None
        found = one or (self._keys.get(name) if isinstance(name, str) else None)
        return None if found is None else found.get(str(algorithm))

    def _is_fresh(self) -> bool:
        return self._found_at is not None and clock.now() - self._found_at < _FRESH_SECONDS

    def _may_look(self, *, is_known: bool) -> bool:
        if self._looked_at is None:
            return True
        if is_known and self._is_fresh():
            return False
        pause = _AFTER_FAILURE_SECONDS if self._has_failed and not is_known else _AGAIN_SECONDS
        return clock.now() - self._looked_at >= pause

    async def _look(self) -> None:
        self._has_failed = True  # also if the caller is cancelled meanwhile
        try:
            with anyio.fail_after(_FETCH_SECONDS):
                self._keys = await _keys_of(self.issuer)
            self._found_at, self._has_failed = clock.now(), False
        except (OSError, ValueError, http.client.HTTPException) as error:
            _LOG.warning(
                "The keys of %s could not be fetched (%s): until they are, a token counts only if its key is "
                "known already.",
                self.issuer,
                str(error) or type(error).__name__,
            )
        finally:
            self._looked_at = clock.now()


def may_trust(url: str) -> bool:
    """Whether what this URL says can be trusted: it is https, or on this machine."""
    try:
        parts = urlsplit(url)
        local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
    except ValueError:
        return False
    if not parts.hostname or parts.query or parts.fragment or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and local)


async def _keys_of(issuer: str) -> dict[str, _Key]:
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
        if not may_trust(keys):
            raise ValueError(f"its jwks_uri is {keys[:200]!r}")
        found = await anyio.to_thread.run_sync(_fetched, keys, abandon_on_cancel=True)
        return _usable(jwt, found)
    raise failure


def _usable(jwt: Any, found: dict[str, Any]) -> dict[str, _Key]:  # noqa: ANN401 - the module
    """The keys that sign, and of which only the issuer has the other half.

    One of RSA that names no algorithm is for all of RSA; each other kind has one algorithm.
    """
    usable = dict[str, _Key]()
    for number, one in enumerate(found.get("keys", ())):
        if not isinstance(one, dict) or one.get("kty") == "oct" or one.get("use", "sig") != "sig":
            continue
        try:
            of_rsa = one.get("kty") == "RSA" and "alg" not in one
            made = [jwt.PyJWK(one, algorithm) for algorithm in (_OF_RSA if of_rsa else (None,))]
            usable[str(one.get("kid", number))] = {key.algorithm_name: key for key in made}
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
