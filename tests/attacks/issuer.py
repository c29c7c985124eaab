"""An authorization server: its metadata and its keys, over HTTP, and tokens that it has signed."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread
from typing import Any, override

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from tests.patience import PATIENCE
from tests.servers import HOST


class Issuer:
    """An issuer, and what it has signed."""

    def __init__(self) -> None:
        self.keys: dict[str, tuple[str, Any]] = {
            "one": ("RS256", rsa.generate_private_key(public_exponent=65537, key_size=2048)),
            "two": ("ES256", ec.generate_private_key(ec.SECP256R1())),
        }
        self.url = ""
        self.metadata: dict[str, Any] = {}
        self.asked: list[str] = []
        """Paths that somebody has asked for."""
        self.is_away = False
        """Whether it answers everybody with 503."""
        self.answers = Event()
        """It hangs while this is not set."""
        self.answers.set()

    def jwks(self) -> dict[str, Any]:
        """The public halves."""
        keys = []
        for name, (algorithm, key) in self.keys.items():
            kind = RSAAlgorithm if algorithm.startswith("RS") else ECAlgorithm
            keys.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": name, "alg": algorithm})
        return {"keys": [*keys, {"kty": "oct", "kid": "shared", "k": "c2VjcmV0c2VjcmV0c2VjcmV0"}]}

    def claims(self, resource: str, scope: str, **other: Any) -> dict[str, Any]:
        """What a token of Alice says."""
        now = int(time.time())
        alice = {"sub": "u1", "email": "alice@example.com", "client_id": "claude"}
        return {
            "iss": self.url,
            "aud": resource,
            "iat": now,
            "exp": now + 600,
            "scope": scope,
            **alice,
        } | other

    def token(self, claims: dict[str, Any], *, key: str = "one", **header: Any) -> str:
        """A token that one of the keys has signed."""
        algorithm, private = self.keys[key]
        return jwt.encode(claims, private, algorithm, {"kid": key, **header})


@contextmanager
def issuing() -> Iterator[Issuer]:
    """An issuer that answers until the end of the block."""
    issuer = Issuer()

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked.append(self.path)
            issuer.answers.wait(PATIENCE)
            found = {
                "/.well-known/openid-configuration": issuer.metadata,
                "/keys": issuer.jwks(),
            }.get(self.path)
            body = json.dumps(found).encode()
            self.send_response(503 if issuer.is_away else 404 if found is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        @override
        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Answers) as server:
        issuer.url = f"http://{HOST}:{server.server_address[1]}"
        issuer.metadata = {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"}
        serving = Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        try:
            yield issuer
        finally:
            issuer.answers.set()
            server.shutdown()
            serving.join()
