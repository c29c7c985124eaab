"""Web servers that the tests have started, and requests to them."""

import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.hosts.environments import Environment
from tests.hosts.processes import until
from tests.patience import PATIENCE
from tests.servers import HOST, free_port


def status(
    url: str, *, body: dict[str, Any] | None = None, method: str | None = None, headers: dict[str, str]
) -> int:
    """What is answered to a request; 0 when nobody answers."""
    request = urllib.request.Request(  # noqa: S310 - our own
        url, None if body is None else json.dumps(body).encode(), headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@contextmanager
def mcp_server(sdk: Environment, redis_url: str, *, issuer: str = "") -> Iterator[str]:
    """`abe-redis mcp --http` on this SDK, or for those who sign in at an issuer; gives its URL."""
    port = free_port()
    resource = f"http://{HOST}:{port}/mcp"
    more = ["--oauth-issuer", issuer, "--oauth-resource", resource] if issuer else []
    process = subprocess.Popen(
        [sdk.python, "-m", "abe_redis", "mcp", "--http", "--port", str(port), *more],
        env=sdk.variables({"REDIS_URL": redis_url}),
        stderr=subprocess.DEVNULL,
    )
    address = f"http://{HOST}:{port}"
    try:
        until(
            lambda: status(f"{address}/healthz", headers={}) == 200 or process.poll() is not None,
            "the server to listen",
        )
        assert process.poll() is None, f"the server ended with {process.returncode}"
        yield resource
    finally:
        process.terminate()
        process.wait()
