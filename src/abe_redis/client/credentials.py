"""Credentials that change while the process runs: read anew for each connection.

A token of a cloud's identity service expires after minutes or hours, and passwords are rotated. Each new
connection reads them again, and a connection whose credentials the server no longer accepts is replaced. So a
rotation is only a pause.
"""

import inspect
from importlib import import_module
from pathlib import Path
from typing import Any

import anyio
from redis import exceptions

from abe_redis.client.address import Credentials
from abe_redis.errors import SettingsError
from abe_redis.runtime import fork_rest
from abe_redis.settings import Settings
from abe_redis.settings.variables import why_unreadable


def of(settings: Settings) -> Credentials | None:
    """How credentials are read for each connection; None when the settings hold them.

    Raises:
        SettingsError: What REDIS_CREDENTIALS names cannot be imported, or is no credential provider.
    """
    if settings.redis_credentials:
        return _of_provider(_found(settings.redis_credentials))
    if settings.redis_password_file:
        return _of_file(settings.redis_password_file, settings.redis_username)
    return None


def _of_file(path: Path, username: str | None) -> Credentials:
    async def read() -> tuple[str | None, str | None]:
        try:
            password = await anyio.Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            # It may be about to be replaced: the next connection looks again.
            raise exceptions.ConnectionError(
                f"the file {path} of REDIS_PASSWORD_FILE cannot be read ({why_unreadable(error)})"
            ) from None
        return username, password.rstrip("\r\n")

    return read


def _of_provider(provider: Any) -> Credentials:  # noqa: ANN401 - redis-py's CredentialProvider, or alike
    async def read() -> tuple[str | None, str | None]:
        try:
            if hasattr(provider, "get_credentials_async"):
                found = await provider.get_credentials_async()
            else:
                found = await fork_rest.in_thread(provider.get_credentials)
        except Exception as error:
            # The provider's service may be away for a while. Its message may hold a secret.
            raise exceptions.ConnectionError(
                f"the provider of REDIS_CREDENTIALS failed with {type(error).__name__}"
            ) from error
        match found:
            case (str(password),):
                return None, password
            case (str() | None as username, str(password)):
                return username, password
        raise exceptions.ConnectionError(
            "the provider of REDIS_CREDENTIALS must give (password,) or (user name, password), not "
            f"{type(found).__name__}"
        )

    return read


def _found(name: str) -> Any:  # noqa: ANN401 - as above
    """The object that `module:name` names; a class or a function is called for a provider."""
    module, _, attribute = name.partition(":")
    try:
        found: Any = import_module(module)
        for part in attribute.split("."):
            found = getattr(found, part)
        provider = found() if inspect.isclass(found) or inspect.isfunction(found) else found
    except Exception as error:
        raise SettingsError(
            f"REDIS_CREDENTIALS is {name!r}, which cannot be loaded: {type(error).__name__}. Write "
            "MODULE:NAME of a redis.credentials.CredentialProvider, or of what makes one."
        ) from error
    if not hasattr(provider, "get_credentials"):
        raise SettingsError(
            f"REDIS_CREDENTIALS is {name!r}, which has no method get_credentials. Write MODULE:NAME of a "
            "redis.credentials.CredentialProvider, or of what makes one."
        )
    return provider
