"""Words of others, made fit for a model: nothing hidden in them, no secret, no line of its own.

Whoever may write in a Slack channel may write to the model that reads the queue. What they wrote is
fenced (`text`) and labelled (the schemas); here it loses what could deceive: characters that are not
seen or that turn the direction of writing become visible, and secrets become ***.
"""

import json
import re
import unicodedata
from typing import Any

from pydantic import BaseModel

_SECRETS = re.compile(
    r"xox[a-z](?:\.[a-z]{3,})?-[\w-]{8,}"  # bot, user, refresh and configuration tokens
    r"|xapp-[\w-]{8,}"
    r"|https://hooks\.slack(?:-gov)?\.com/[^\s\"'<>|]+"
    r"|(?<=://)[^/\s:@\"]*:[^/\s@\"]+(?=@)",  # user and password of a URL
    re.IGNORECASE,
)
_TOKENS = {"token", "verification_token", "bot_token", "access_token", "refresh_token", "client_secret"}
"""Fields whose value is a secret, whatever it looks like."""

# Invisible though Unicode counts them as letters, marks or symbols: fillers, joiners, variation selectors.
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
_LINES = {"\n", "\r", "\t"}


def shown(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON with every string, and every name in it, cleaned and masked."""
    if isinstance(value, str):
        return mask(clean(value))
    if isinstance(value, list):
        return [shown(item) for item in value]
    if isinstance(value, dict):
        return {
            shown(name): "***" if name.lower() in _TOKENS and isinstance(item, str) and item else shown(item)
            for name, item in value.items()
        }
    return value


def safe[Result: BaseModel](result: Result) -> Result:
    """A result with the words of others made fit for a model."""
    return type(result).model_validate(shown(result.model_dump()))


def clean(text: str) -> str:
    """The text with what is not seen made visible, as in `[U+202E]`; line breaks and tabs stay."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if _is_seen(char) else f"[U+{ord(char):04X}]" for char in text)


def _is_seen(char: str) -> bool:
    # Categories: control, format (zero width, bidirectional, tags), surrogate, private, unassigned, lines.
    return char in _LINES or not (
        unicodedata.category(char) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} or _UNSEEN.match(char)
    )


def mask(text: str) -> str:
    """The text without what is a secret of Slack's, or the credentials of a URL."""
    return _SECRETS.sub("***", text)


def quoted(name: str, *, most: int = 100) -> str:
    """A name among our own words: in quotes, in one line, and no longer than a name need be."""
    said = shown(name)
    if len(said) > most:
        said = f"{said[:most]}…"
    return json.dumps(said, ensure_ascii=False)
