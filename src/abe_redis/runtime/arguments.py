"""Refuses arguments of a wrong type or out of range, where they are given, with a sentence that shows them.

What is wrong would otherwise show itself later, in another place: as a failure of every event, or not at all.
"""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from abe_redis.errors import AbeRedisError, InvalidArgumentError, SettingsError

type Kind = type[AbeRedisError]
"""The class of the error: `SettingsError` for what configures, `InvalidArgumentError` for a call."""

YEAR_SECONDS = 365 * 86_400
"""Longest time that an argument may be, unless it has a limit of its own."""

_SHOWN = 100


def shown(given: object) -> str:
    """A text or a number as Python writes it, shortened; of what may hold more than that, only the type."""
    if not (given is None or type(given) in {str, int, float, bool}):
        return f"of type {type(given).__name__!r}"
    text = repr(given)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"


def check_seconds(
    name: str, given: object, *, least: float = 0, most: float = YEAR_SECONDS, kind: Kind = SettingsError
) -> None:
    """Refuse what is no number of seconds within these bounds.

    Raises:
        SettingsError: It is none; or another class that was asked for.
    """
    is_number = isinstance(given, int | float) and not isinstance(given, bool) and not math.isnan(given)
    if not (is_number and least <= given <= most):  # type: ignore[operator]
        raise kind(
            f"{name} is {shown(given)}; it must be a number of seconds, at least {least:g} and at most "
            f"{most:,}."
        )


def check_count(
    name: str, given: object, *, least: int = 1, most: int = 1_000_000, kind: Kind = SettingsError
) -> None:
    """Refuse what is no whole number within these bounds.

    Raises:
        SettingsError: It is none; or another class that was asked for.
    """
    if not (isinstance(given, int) and not isinstance(given, bool) and least <= given <= most):
        raise kind(f"{name} is {shown(given)}; it must be a number, at least {least} and at most {most:,}.")


def check_flag(name: str, given: object, *, kind: Kind = SettingsError) -> None:
    """Refuse what is neither True nor False.

    Raises:
        SettingsError: It is something else; or another class that was asked for.
    """
    if not isinstance(given, bool):
        raise kind(f"{name} is {shown(given)}; it must be True or False.")


def check_text(
    name: str, given: object, *, kind: Kind = InvalidArgumentError, may_be_empty: bool = False
) -> None:
    """Refuse what is no text, or is empty.

    Raises:
        InvalidArgumentError: It is none; or another class that was asked for.
    """
    if not isinstance(given, str):
        raise kind(f"{name} is {shown(given)}; it must be a text.")
    if not (may_be_empty or any(one.isprintable() and not one.isspace() for one in given)):
        raise kind(f"{name} is {given!r}; it must not be empty.")


def check_function(name: str, given: object, *arguments: str, kind: Kind = SettingsError) -> None:
    """Refuse what cannot be called, without await, with these arguments.

    Args:
        name: Its name for the message.
        given: What is to be called.
        arguments: The names of what it is called with.
        kind: The class of the error.

    Raises:
        SettingsError: It cannot; or another class that was asked for.
    """
    if not callable(given) or inspect.isclass(given):
        raise kind(f"{name} is {shown(given)}; it must be a function.")
    shape = (given, type(given).__call__)
    if any(inspect.iscoroutinefunction(one) for one in shape):
        raise kind(f"{name} is async; it must be a function that needs no await.")
    if any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in shape):
        raise kind(f"{name} contains yield, so calling it would do nothing; use return instead.")
    takes = signature(given)
    if takes is not None and not can_be_called(takes, *arguments):
        raise kind(f"{name} takes {takes}; it is called with {' and '.join(arguments)}.")


def signature(call: Callable[..., Any]) -> inspect.Signature | None:
    """Its parameters without types, to be shown to people; None when they are unknown."""
    try:
        found = inspect.signature(call)
    except Exception:  # noqa: BLE001 - written in C, or with types that 3.14 evaluates now and does not find
        return None
    untyped = [one.replace(annotation=one.empty) for one in found.parameters.values()]
    return inspect.Signature(untyped)


def can_be_called(takes: inspect.Signature, *arguments: object) -> bool:
    """Whether a callable with this signature accepts these arguments."""
    try:
        takes.bind(*arguments)
    except TypeError:
        return False
    return True


def each[Item](
    name: str, given: Iterable[Item], *, members: str, kind: Kind = InvalidArgumentError
) -> list[Item]:
    """The members of what can be iterated over once.

    Args:
        name: Its name for the message.
        given: A list, or something else. A text or a mapping is none: it is meant as a member.
        members: What the members are.
        kind: The class of the error.

    Raises:
        InvalidArgumentError: It is no list; or another class that was asked for.
    """
    found: object = given
    if isinstance(found, str | bytes | Mapping) or not isinstance(found, Iterable):
        raise kind(f"{name} is {shown(found)}; it must be a list of {members}.")
    return list(given)
