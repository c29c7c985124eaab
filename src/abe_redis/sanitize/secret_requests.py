"""Secrets that requests carry: what follows `Bearer` and `Basic`, parts of a query, ids of sessions."""

import base64
import binascii
from collections.abc import Iterator

from abe_redis.sanitize.deferred import deferred

_BEARER = deferred(r"(?P<scheme>bearer|basic)\s{1,8}[`*_~]{0,3}(?P<what>[\w.~+/=-]{6,}+)")
_LEAST_OF_A_BEARER = 20
# Parts of a query that hold a secret only if they look like one.
_QUERY = deferred(
    r"[?&](?:(?:code|key)=(?=[^\s&#\"'<>|]{16})|(?:sig|signature|x-(?:amz|goog)-(?:signature|credential)|auth)=)"
    r"(?P<value>[^\s&#\"'<>|]{6,}+)"
    r"|(?<![\w.])(?:j?sessionid|phpsessid|asp\.net_sessionid|connect\.sid)=(?P<session>[^\s&;\"'<>|]{6,}+)",
)


def found_in_requests(text: str, small: str) -> Iterator[tuple[int, int]]:
    """The spans of the secrets. `small` is the text, `folded`."""
    if "=" in text:
        for match in _QUERY.finditer(small):
            what = "session" if match["value"] is None else "value"
            if any(char.isdigit() for char in match[what]):
                yield match.span(what)
    if "bearer" in small or "basic" in small:
        for match in _BEARER.finditer(small):
            if _could_be_sent(match["scheme"], text[slice(*match.span("what"))]):
                yield match.span("what")


def _could_be_sent(scheme: str, what: str) -> bool:
    """Whether what follows `Bearer` or `Basic` in a text is a token rather than a word."""
    if scheme.lower() == "basic":
        try:
            return b":" in base64.b64decode(what + "=" * (-len(what) % 4), validate=True)
        except (binascii.Error, ValueError):
            return False
    return any(char.isdigit() for char in what) or (len(what) >= _LEAST_OF_A_BEARER and not what.islower())
