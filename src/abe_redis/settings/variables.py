"""Reads variables from the environment and from a file, and remembers where each value comes from.

The owner of a directory can put any `.env` into it, and the user who starts a program there may have exported
secrets. So a file cannot use variables of the environment: `${AWS_SECRET_ACCESS_KEY}` in a URL would send the
secret to a stranger. And credentials from one source never go to a server that the other source names.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from abe_redis.errors import SettingsError
from abe_redis.settings import env_file
from abe_redis.settings.url import without_credentials

OF_COMMANDS = (
    "ABE_REDIS_LOG_FORMAT",
    "ABE_REDIS_MCP_READ_ONLY",
    "ABE_REDIS_MCP_STRUCTURED",
    "ABE_REDIS_MCP_TOKEN",
)
"""Variables that set options of a command, and are no fields of `Settings`."""

CREDENTIALS = (
    *("redis_username", "redis_password", "redis_password_file", "redis_credentials"),
    *("redis_sentinel_username", "redis_sentinel_password"),
    *("redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile"),
)
"""Settings that a server gets to see, or that decide which server is trusted."""

_OURS = ("REDIS_", "SLACK_", "ABE_REDIS_")
_REFERENCE = re.compile(r"\$\{([^}:]*)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Variables:
    """Variables in capitals, as the environment and a file set them."""

    file: Path | None = None
    exported: Mapping[str, str] = field(default_factory=dict)
    written: Mapping[str, str] = field(default_factory=dict)

    def of_file(self, name: str) -> str | None:
        """The file's value of a variable that the environment does not set; None if the file has none."""
        return None if self.exported.get(name) else self.written.get(name) or None


def read(file: Path | str | None, *, required: bool = False) -> Variables:
    """Read the environment, and the file if it exists.

    Args:
        file: The file.
        required: Somebody has named it: it must exist, and each of its lines must be one that can be read.

    Raises:
        SettingsError: The file or a line of it cannot be read, it uses a variable of the environment, or is
            required and does not exist.
    """
    exported = {name.upper(): value for name, value in os.environ.items()}
    path = None if file is None else Path(file).expanduser()
    if path is None or not path.is_file():
        if path is not None and required:
            raise SettingsError(f"{str(path)!r} is not a file. Name one with lines of the form NAME=value.")
        return Variables(None, exported)
    try:
        text = path.read_text("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise SettingsError(
            f"The settings cannot be read from {path}: {why_unreadable(error)}. Make it a readable UTF-8 "
            "text file with lines of the form NAME=value."
        ) from None
    lines = env_file.lines(path, text, strict=required)
    return Variables(path, exported, _expanded(path, dict(lines)))


def why_unreadable(error: OSError | UnicodeDecodeError) -> str:
    """Why a file of text cannot be read, in words."""
    return "it is not UTF-8" if isinstance(error, UnicodeDecodeError) else (error.strerror or "it failed")


def ours(variables: Variables, known: Mapping[str, object]) -> list[str]:
    """The names of our variables that the file sets and the environment does not set."""
    names = {name.upper() for name in known} | set(OF_COMMANDS)
    return sorted(name for name in variables.written if name in names and variables.of_file(name))


def check_origins(url: str, origins: Mapping[str, str]) -> None:
    """Refuse credentials that come from another source than the server's URL.

    Args:
        url: The URL with its credentials.
        origins: Per setting that is set, its source: `file`, `environment` or `arguments`.

    Raises:
        SettingsError: A credential comes from another source. The sentence names it without its value.
    """
    where = {"file": "in a file", "environment": "in the environment", "arguments": "as an argument"}
    of_url = origins.get("redis_url")
    if of_url is None:  # the default, a server on this machine
        return
    password_in_url = without_credentials(url)[2]
    for name in CREDENTIALS:
        origin = origins.get(name)
        if origin is None or (of_url == "file") == (origin == "file"):
            continue
        if name == "redis_password" and password_in_url:  # the password in the URL wins
            continue
        raise SettingsError(
            f"REDIS_URL is set {where[of_url]}, and {name.upper()} {where[origin]}. Credentials never go to "
            "a server that another source names: set both in the same place."
        )


def _expanded(path: Path, lines: Mapping[str, str]) -> dict[str, str]:
    """The values, with `${NAME}` replaced by the value that the same file gave to NAME before."""
    expanded = dict[str, str]()
    foreign = dict[str, str]()
    """Per variable that uses the environment, the variable that it uses."""
    for name, value in lines.items():
        for used, default in _REFERENCE.findall(value):
            taken = foreign.get(used.upper()) or (
                used if used.upper() not in expanded and used in os.environ else ""
            )
            if taken and name.upper().startswith(_OURS):
                raise SettingsError(
                    f"{name} in {path} takes {taken} from the environment. A file can only use variables "
                    f"that it sets itself: export {name}, or write its value into the file."
                )
            if taken:
                foreign[name.upper()] = taken
            value = value.replace(  # noqa: PLW2901 - its value now
                f"${{{used}:-{default}}}" if default else f"${{{used}}}",
                expanded.get(used.upper()) or ("" if taken else default),
            )
        expanded[name.upper()] = value
    return expanded
