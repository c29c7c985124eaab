"""Checks of what was asked for: numbers in range, and ids."""

import re

from abe_redis.errors import InvalidArgumentError
from abe_redis.runtime.arguments import check_text, shown
from abe_redis.runtime.shell import command, option
from abe_redis.streams import ids


def check_range(name: str, value: float, low: float, high: float) -> None:
    """Refuse a value out of range.

    Raises:
        RequestError: It is.
    """
    given: object = value
    if not isinstance(given, int | float) or isinstance(given, bool):
        raise InvalidArgumentError(f"{name} is {shown(given)}; it must be a number.")
    if not low <= value <= high:
        raise InvalidArgumentError(f"{name} is {value}; it must be between {low} and {high}.")


_SLACKS_ID = re.compile(r"Ev[A-Za-z0-9]{1,40}", re.ASCII)


def check_id(name: str, value: str) -> str:
    """An entry id in its complete form.

    Raises:
        RequestError: It is none.
    """
    check_text(name, value)
    if not ids.is_id(value, complete=False):
        find = ""
        if _SLACKS_ID.fullmatch(value):
            look = command("read", options=option("--event-id", value))
            find = f" It looks like an id of Slack's: `{look}` finds its entry."
        raise InvalidArgumentError(f"{name} is {value[:50]!r}; an entry id looks like 1732000000000-0.{find}")
    return value if "-" in value else f"{value}-0"
