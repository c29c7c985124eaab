"""The variables of this environment that an entry takes over, and those that it does not."""

from collections.abc import Mapping
from pathlib import Path

from abe_redis.settings import Settings, variables

CURRENT = ("REDIS_URL", "REDIS_USERNAME")
"""Variables that follow this environment in an entry that is there already."""

_SECRETS = ("redis_password", "redis_sentinel_password")
_OF_OTHERS = ("slack_signing_secret", "slack_app_token", "abe_redis_mcp_token")
"""Secrets that a server over stdin and stdout does not use."""
_LEFT_OUT = (*_SECRETS, *_OF_OTHERS, "redis_credentials", "redis_stream_consumer")


def written(settings: Settings) -> dict[str, str]:
    """The variables that a new entry gets: where Redis is, and every other setting that is set here.

    A path is written whole, since a client starts the server in another directory. A file that the entry
    names has its variables itself.
    """
    exported = variables.read(None).exported
    made = {} if settings.is_of_file("redis_url") else {"REDIS_URL": settings.redis_url}
    if settings.redis_username and not settings.is_of_file("redis_username"):
        made["REDIS_USERNAME"] = settings.redis_username
    for name in (*Settings.model_fields, *map(str.lower, variables.OF_COMMANDS)):
        variable = name.upper()
        if name in _LEFT_OUT or variable in CURRENT or not (value := exported.get(variable)):
            continue
        found = getattr(settings, name, None)
        made[variable] = str(found.expanduser().absolute()) if isinstance(found, Path) else value
    return made


_HOW = (
    "Until the server gets it, it cannot connect: put {} into a file that only you can read, and give "
    "--env-file FILE, too."
)


def _where(variable: str, exported: Mapping[str, str]) -> str:
    return f"{variable} is set here" if exported.get(variable) else "The password in REDIS_URL is set here"


def left_out(settings: Settings) -> dict[str, str]:
    """Per variable that is set here and never written, a sentence about it."""
    exported = variables.read(None).exported
    said = {
        variable: f"{_where(variable, exported)} and not written. {_HOW.format(f'{variable}=…')}"
        for name in _SECRETS
        if getattr(settings, name) and not settings.is_of_file(name)
        for variable in [name.upper()]
    }
    if exported.get("REDIS_CREDENTIALS"):
        said["REDIS_CREDENTIALS"] = (
            "REDIS_CREDENTIALS is set here and not written, because it names code. "
            + _HOW.format("REDIS_CREDENTIALS=…")
        )
    if exported.get("REDIS_STREAM_CONSUMER"):
        said["REDIS_STREAM_CONSUMER"] = (
            "REDIS_STREAM_CONSUMER is set here and not written: each process has a name of its own."
        )
    if others := [name.upper() for name in _OF_OTHERS if exported.get(name.upper())]:
        are = "is" if len(others) == 1 else "are"
        said[others[0]] = (
            f"{', '.join(others)} {are} set here and not written: a server that a client starts needs none."
        )
    return said
