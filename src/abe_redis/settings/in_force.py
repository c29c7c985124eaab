"""The settings in force, to be shown: each by its variable, and without secrets."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from pydantic import SecretStr


@dataclass(frozen=True, slots=True)
class InForce:
    """A setting in force."""

    variable: str
    value: str
    """Empty when it is not set, and `***` when it is a secret."""
    origin: str
    """Where the value comes from: `environment`, `file`, `arguments`, `REDIS_URL` or `default`."""
    note: str = ""
    """What else is in force because of it."""


def listed(
    values: Mapping[str, object],
    origins: Mapping[str, str],
    notes: Mapping[str, str],
    *,
    defaults: Collection[str],
) -> list[InForce]:
    """The settings in their order.

    Args:
        values: By their names.
        origins: Where they were set, by the same names.
        notes: What else is in force because of some of them, by the same names.
        defaults: The names of those that nobody set.
    """
    return [
        InForce(
            name.upper(),
            _shown(value),
            origins.get(name) or ("default" if name in defaults else "REDIS_URL"),
            notes.get(name, ""),
        )
        for name, value in values.items()
    ]


def _shown(value: object) -> str:
    match value:
        case None:
            return ""
        case SecretStr():
            return "***"
        case bool():
            return str(value).lower()
        case tuple():
            return ",".join(map(str, value))
    return str(value)
