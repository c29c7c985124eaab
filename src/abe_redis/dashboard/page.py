"""The page as one document, and the policy under which a browser shows it."""

import base64
import hashlib
from functools import cache
from pathlib import Path

_STYLE, _SCRIPTS = "page.css", ("draw.js", "fetch.js")


@cache
def page() -> str:
    """The HTML, with its style and its scripts in it."""
    document = _part("page.html")
    for name in (_STYLE, *_SCRIPTS):
        document = document.replace(f"/* {name} */", _part(name))
    return document


@cache
def policy() -> str:
    """The Content-Security-Policy: this style, these scripts, and numbers from where the page came from."""
    scripts = " ".join(map(_hash, _SCRIPTS))
    return (
        f"default-src 'none'; style-src {_hash(_STYLE)}; script-src {scripts}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _part(name: str) -> str:
    return Path(__file__).with_name(name).read_text("utf-8")


def _hash(name: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(_part(name).encode()).digest()).decode()}'"
