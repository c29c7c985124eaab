"""Requests to web servers that the tests have started."""

import json
import urllib.error
import urllib.request
from typing import Any


def status(
    url: str, *, body: dict[str, Any] | None = None, method: str | None = None, headers: dict[str, str]
) -> int:
    """What is answered to a request; 0 when nobody answers."""
    request = urllib.request.Request(  # noqa: S310 - our own
        url, None if body is None else json.dumps(body).encode(), headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0
