"""The one reader of variables: the environment first, then a file; and where each value comes from.

Whoever owns a directory may write its `.env`, and whoever starts a program there may have exported secrets.
So a file may use no variable of the environment (`${AWS_SECRET_ACCESS_KEY}` within a URL would send it away),
and the credentials of one source never go to the server that the other one names.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from dotenv import dotenv_values

from abe_redis.errors import SettingsError
from abe_redis.settings.url import without_credentials

OF_COMMANDS = (
    "ABE_REDIS_LOG_FORMAT",
    "ABE_REDIS_MCP_READ_ONLY",
    "ABE_REDIS_MCP_STRUCTURED",
    "ABE_REDIS_MCP_TOKEN",
)
"""Variables that are options of a command, rather than fields of `Settings`."""

CREDENTIALS = (
    *("redis_username", "redis_password", "redis_password_file", "redis_credentials"),
    *("redis_sentinel_username", "redis_sentinel_password"),
    *("redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile"),
)
"""What is shown to a server, and what decides which server is trusted."""

_OURS = ("REDIS_", "SLACK_", "ABE_REDIS_")
_REFERENCE = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Variables:
    """Variables in capitals, as the environment and a file set them."""

    file: Path | None = None
    exported: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def of_file(self, name: str) -> str | None:
        """The value that the file gives to a variable that the environment lacks; None if it gives none."""
        return None if self.exported.get(name) else self.written.get(name) or None


def read(file: Path | str | None, *, required: bool = False) -> Variables:
    """Read the environment, and a file if it is there.

    Raises:
        SettingsError: The file cannot be read, takes something from the environment, or is not there though
            it is required.
    """
    exported = {name.upper(): value for name, value in os.environ.items()}
    path = None if file is None else Path(file).expanduser()
    if path is None or not path.is_file():
        if path is not None and required:
            raise SettingsError(f"{str(path)!r} is not a file. Name one with lines of the form NAME=value.")
        return Variables(None, exported)
    try:
        lines = dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            f"The settings cannot be read from {path}: {why_unreadable(error)}. Make it a readable UTF-8 "
            "text file with lines of the form NAME=value."
        ) from None
    return Variables(path, exported, _expanded(path, lines))


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Why a file of text cannot be read, in words."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or "it failed")


def ours(variables: Variables, known: Mapping[str, object]) -> list[str]:
    """The names of our variables that the file sets and the environment does not."""
    names = {name.upper() for name in known} | set(OF_COMMANDS)
    return sorted(name for name in variables.written if name in names and variables.of_file(name))


def check_origins(url: str, origins: Mapping[str, str]) -> None:
    """Refuse credentials that would go to a server of another source.

    Args:
        url: The URL as it was given.
        origins: The source of each setting that has one: `file`, `environment` or `arguments`.

    Raises:
        SettingsError: There are some. The sentence has their names, and no values.
    """
    where = {"file": "in a file", "environment": "in the environment", "arguments": "as an argument"}
    of_url = origins.get("redis_url")
    if of_url is None:  # this machine's own, by default
        return
    password_in_url = without_credentials(url)[2]
    for name in CREDENTIALS:
        origin = origins.get(name)
        if origin is None or (of_url == "file") == (origin == "file"):
            continue
        if name == "redis_password" and password_in_url:  # which wins
            continue
        raise SettingsError(
            f"REDIS_URL is set {where[of_url]}, and {name.upper()} {where[origin]}. Credentials of the one "
            "never go to a server of the other: set both in the same place."
        )


def _expanded(path: Path, lines: Mapping[str, str | None]) -> dict[str, str]:
    """The values with `${NAME}` replaced by what the same file says of NAME before."""
    expanded = dict[str, str]()
    foreign = dict[str, str]()
    """By the name of a variable, what it takes from the environment."""
    for name, value in lines.items():
        if value is None:
            continue
        for used, default in _REFERENCE.findall(value):
            taken = foreign.get(used.upper()) or (
                used if used.upper() not in expanded and used in os.environ else ""
            )
            if taken and name.upper().startswith(_OURS):
                raise SettingsError(
                    f"{name} in {path} takes {taken} from the environment. A file may use only what it sets "
                    "itself: export the variable, or write its value."
                )
            if taken:
                foreign[name.upper()] = taken
            value = value.replace(  # noqa: PLW2901 - its value now
                f"${{{used}:-{default}}}" if default else f"${{{used}}}",
                expanded.get(used.upper()) or ("" if taken else default),
            )
        expanded[name.upper()] = value
    return expanded
