"""The variables of this environment that an entry takes over, and those that it does not."""

from collections.abc import Mapping
from pathlib import Path

from abe_redis.mcp.install.named_file import OF_THE_SERVER, NamedFile
from abe_redis.settings import Settings, variables

CURRENT = ("REDIS_URL", "REDIS_USERNAME")
"""Variables that follow this environment in an entry that is there already."""

_SECRETS = ("redis_password", "redis_sentinel_password")
_OF_OTHERS = ("slack_signing_secret", "slack_app_token", "abe_redis_mcp_token")
"""Secrets that a server over stdin and stdout does not use."""
_LEFT_OUT = (*_SECRETS, *_OF_OTHERS, "redis_credentials", "redis_stream_consumer")


def written(settings: Settings, file: NamedFile) -> dict[str, str]:
    """The variables that a new entry gets: where Redis is, and every other setting that is set here.

    A path is written whole, since a client starts the server in another directory. A file that the entry
    names has its variables itself, and if that says where Redis is, it has the credentials for it as well.
    """
    exported = variables.read(None).exported
    made = {"REDIS_URL": settings.redis_url}
    if settings.redis_username and not settings.is_of_file("redis_username"):
        made["REDIS_USERNAME"] = settings.redis_username
    for name in (*Settings.model_fields, *map(str.lower, variables.OF_COMMANDS)):
        variable = name.upper()
        if name in _LEFT_OUT or variable in CURRENT or not (value := exported.get(variable)):
            continue
        found = getattr(settings, name, None)
        made[variable] = str(found.expanduser().absolute()) if isinstance(found, Path) else value
    return {name: value for name, value in made.items() if name not in file.takes}


_CANNOT = "Until the server gets it, it cannot connect:"


def _secret_left_out(variable: str, exported: Mapping[str, str]) -> str:
    """The sentence about a secret, and which variables belong into a file beside it."""
    others = [name for name in OF_THE_SERVER[1:] if exported.get(name) and name != variable]
    here = bool(exported.get(variable))
    url = "REDIS_URL=…" if here else "REDIS_URL=… with its password"
    *first, last = [url, *(f"{name}=…" for name in (*others, *([variable] if here else [])))]
    names = f"{', '.join(first)} and {last}" if first else last
    said = f"{variable} is set here" if here else "The password in REDIS_URL is set here"
    return (
        f"{said} and not written. {_CANNOT} put {names} into a file that only you can read, and give "
        "--env-file FILE, too."
    )


def left_out(settings: Settings, file: NamedFile) -> dict[str, str]:
    """Per variable that is set here and not written, a sentence about it."""
    exported = variables.read(None).exported
    said = {} if file.takes else _of_the_server(settings, exported)
    if to_file := [name for name in file.takes if exported.get(name)]:
        are = "is" if len(to_file) == 1 else "are"
        said[to_file[0]] = (
            f"{', '.join(to_file)} {are} set here and not written: {file.name} says where Redis is."
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


def _of_the_server(settings: Settings, exported: Mapping[str, str]) -> dict[str, str]:
    said = {
        name.upper(): _secret_left_out(name.upper(), exported)
        for name in _SECRETS
        if getattr(settings, name) and not settings.is_of_file(name)
    }
    if exported.get("REDIS_CREDENTIALS"):
        said["REDIS_CREDENTIALS"] = (
            "REDIS_CREDENTIALS is set here and not written, because it names code. "
            f'{_CANNOT} add it to the "env" of the entry yourself.'
        )
    return said
