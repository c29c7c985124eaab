"""Ids of users, channels and workspaces as people give them: bare, or as Slack writes mentions in a text."""

import re
from typing import Literal

from abe_redis.errors import InvalidArgumentError

type Holder = Literal["user", "channel", "workspace"]

EXAMPLES: dict[Holder, str] = {"user": "U061F7AUR", "channel": "C0LAN2Q65", "workspace": "T061EG9R6"}

_SIGNS = {"user": "@", "channel": "#", "workspace": ""}
_OWN = {"user": "[UWB][A-Z0-9]+", "channel": "[CDG][A-Z0-9]+", "workspace": "T[A-Z0-9]+"}
_OF_THE_OTHER = {
    "user": r"[CDG][0-9][A-Z0-9]{7,}",
    "channel": r"[UWB][0-9][A-Z0-9]{7,}",
    "workspace": r"[CDGUWB][0-9][A-Z0-9]{7,}",
}
_ID = re.compile("[A-Z0-9]+")


def given_id(said: str, kind: Holder, *, consequence: str) -> str:
    """The id in `U061F7AUR`, `@U061F7AUR`, `<@U061F7AUR>` or `<#C0LAN2Q65|general>`.

    Args:
        said: What was given.
        kind: What it must be the id of.
        consequence: What the error adds, as in `Nothing was erased.`

    Raises:
        InvalidArgumentError: It is no id of Slack's, or one of the other kind.
    """
    found = _without_marks(said, kind)
    if found is None or not _ID.fullmatch(found) or re.fullmatch(_OF_THE_OTHER[kind], found):
        raise _refusal(said, kind, consequence)
    return found


def wanted_name(said: str, kind: Holder) -> str:
    """As `given_id`, but any word will do: a host's own events may have ids of another form.

    Raises:
        InvalidArgumentError: It is several words or a broken mention, or an id of Slack's of the other kind.
    """
    found = _without_marks(said, kind)
    if not found or re.search(r"[\s<>@#|]", found) or re.fullmatch(_OF_THE_OTHER[kind], found):
        raise _refusal(said, kind, "Nothing was read.")
    return found


def is_id(said: str, kind: Holder) -> bool:
    """Whether a word looks like an id of Slack's of this kind."""
    return bool(re.fullmatch(_OWN[kind], said))


def _without_marks(said: str, kind: Holder) -> str | None:
    sign, said = _SIGNS[kind], said.strip()
    if said.startswith("<"):
        match = re.fullmatch(rf"<{sign}([^|>]+)(?:\|[^>]*)?>", said)
        return match[1] if match else None
    return said.removeprefix(sign)


def _refusal(said: str, kind: Holder, consequence: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{said[:50]!r} is no {kind} id; give one such as {EXAMPLES[kind]}. {consequence}"
    )
