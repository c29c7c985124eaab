"""TLS from the settings."""

import logging
import ssl

from abe_redis.errors import SettingsError
from abe_redis.settings import Settings

_LOG = logging.getLogger(__name__)

_FILES = ("redis_ssl_ca_certs", "redis_ssl_certfile", "redis_ssl_keyfile")

_said: set[str] = set()


def about_unused_files(settings: Settings) -> str:
    """The sentence about files that are set for a connection without TLS; empty when there is none."""
    given = [name.upper() for name in _FILES if getattr(settings, name)]
    if settings.uses_tls or not given:
        return ""
    have = "have" if len(given) > 1 else "has"
    where = f"the connection to {settings.redis_url} is not encrypted"
    return f"{' and '.join(given)} {have} no effect: {where}."


def warn_of_unused_files(settings: Settings) -> None:
    """Warn of them once."""
    said = about_unused_files(settings)
    if said and said not in _said:
        _said.add(said)
        _LOG.warning("%s `abe-redis doctor` says what to do.", said)


def context(settings: Settings) -> ssl.SSLContext:
    """The TLS context: the authorities to trust, and our certificate.

    Raises:
        SettingsError: A file cannot be read, or has the wrong content.
    """
    for name in _FILES:
        path = getattr(settings, name)
        if path is not None and not path.is_file():
            raise SettingsError(f"{name.upper()} names {str(path)!r}, which is not a file.")
    try:
        context = ssl.create_default_context(cafile=settings.redis_ssl_ca_certs)  # if given, it alone counts
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(
            f"REDIS_SSL_CA_CERTS names {str(settings.redis_ssl_ca_certs)!r}, which does not hold "
            f"certificates in PEM format ({error})."
        ) from None
    if settings.redis_ssl_certfile:
        try:
            context.load_cert_chain(
                settings.redis_ssl_certfile, settings.redis_ssl_keyfile, password=_no_passphrase
            )
        except (ssl.SSLError, OSError) as error:
            raise SettingsError(
                f"The client certificate in REDIS_SSL_CERTFILE cannot be used ({error}); it and "
                "REDIS_SSL_KEYFILE must be PEM files that belong together, the key without a pass phrase."
            ) from None
    return context


def _no_passphrase() -> str:
    """Give OpenSSL an answer at once: it would ask on the terminal and hang."""
    return ""
