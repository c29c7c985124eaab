"""Takes a `REDIS_URL` apart, and refuses one that is malformed or ambiguous."""

import re
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = (
    "redis",
    "rediss",
    "unix",
    "embedded",
    "redis+sentinel",
    "rediss+sentinel",
    "redis+cluster",
    "rediss+cluster",
)


def without_credentials(url: str) -> tuple[str, str, str]:
    """The `REDIS_URL` without credentials, the user name, and the password; each may be empty."""
    scheme, slashes, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    credentials, _, hosts = authority.rpartition("@")
    username, _, password = credentials.partition(":")
    return f"{scheme}{slashes}{hosts}{slash}{path}", unquote(username), unquote(password)


def split_url(url: str) -> tuple[SplitResult, list[tuple[str, int | None]]]:
    """Split a `REDIS_URL` without credentials into its parts and its hosts.

    Returns:
        The parts, and `(host, port)` for each of the hosts between commas; a missing port is None.

    Raises:
        ValueError: A port is not a number between 1 and 65535.
    """
    parts = urlsplit(url)
    hosts: list[tuple[str, int | None]] = []
    for item in parts.netloc.split(","):
        host = urlsplit(f"//{item}")
        hosts.append((host.hostname or "", host.port))
    if any(port == 0 for _, port in hosts):
        raise ValueError("Port out of range 0-65535")
    return parts, hosts


def check_url(url: str) -> None:
    """Refuse a malformed or ambiguous `REDIS_URL`, whose credentials are already removed.

    Raises:
        ValueError: The message does not repeat the URL, since a mistyped one may hold a password in an
            unexpected place.
    """
    try:
        parts, hosts = split_url(url)
    except ValueError:
        raise ValueError(
            "the host or port cannot be read; a password with special characters must be percent-encoded "
            "(@ is %40, : is %3A, / is %2F, # is %23)"
        ) from None
    if parts.scheme not in SCHEMES:
        raise ValueError("it must start with one of " + ", ".join(f"{scheme}://" for scheme in SCHEMES))
    database_of_a_socket = parts.scheme == "unix" and re.fullmatch(r"db=\d{1,6}", parts.query, re.ASCII)
    if (parts.query and not database_of_a_socket) or parts.fragment:
        raise ValueError(
            "options after ? or # are not supported; use the variables REDIS_USERNAME, REDIS_PASSWORD, "
            "REDIS_SSL_CA_CERTS and their like (a # in a password is written %23)"
        )
    if parts.scheme == "unix":
        if parts.netloc or parts.path in {"", "/"}:
            raise ValueError(
                "unix:// is followed by an absolute path, as in unix:///run/redis/redis.sock?db=0"
            )
    elif parts.scheme == "embedded":
        if parts.netloc:
            raise ValueError("embedded:// is followed by nothing or by an absolute path")
    else:
        _check_hosts_and_database(parts, hosts)


def _check_hosts_and_database(parts: SplitResult, hosts: list[tuple[str, int | None]]) -> None:
    many = parts.scheme.endswith(("sentinel", "cluster"))
    if not all(host for host, _ in hosts):
        raise ValueError("the host is missing; write redis://HOST:PORT/DATABASE")
    if len(hosts) > 1 and not many:
        raise ValueError("one host is expected; several need redis+sentinel:// or redis+cluster://")
    database = parts.path.removeprefix("/")
    if parts.scheme.endswith("sentinel"):
        name, _, database = database.partition("/")
        if not name:
            raise ValueError("the master's name is missing; write redis+sentinel://HOST:26379/NAME/0")
    if not re.fullmatch(r"\d{0,6}", database, re.ASCII):
        raise ValueError("what follows the host must be a database number such as 0")
