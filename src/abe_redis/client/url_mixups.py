"""Common mistakes in REDIS_URL, recognized by the server's answer, and the setting to change."""

import re

from abe_redis.settings import Settings

_CLUSTER = "It is a node of a cluster: write redis+cluster:// in REDIS_URL, or rediss+cluster:// with TLS."
_SENTINEL = (
    "If it is a Sentinel, write redis+sentinel://HOST:26379/NAME in REDIS_URL; if it is a proxy, it has to "
    "pass on EVALSHA, EVAL and the commands of streams."
)
_TLS = "If that port speaks TLS, write rediss:// in REDIS_URL, or set REDIS_SSL=true."
_CUT_OFF = (
    f"{_TLS} If it answered before, see its log: it may have restarted, or have cut off those who take "
    "too much of its memory (maxmemory-clients)."
)
_NO_TLS = "If that port does not speak TLS, write redis:// in REDIS_URL, and unset REDIS_SSL."
_OTHER = "What answers there is not Redis: check the host and the port in REDIS_URL."

_NO_CLUSTER = "It is no cluster: write redis:// in REDIS_URL, or rediss:// with TLS."
_NO_SENTINEL = "That is no Sentinel: write redis:// in REDIS_URL, or the port of the Sentinels, mostly 26379."
_NAME = "SENTINEL MASTERS at a Sentinel lists the names; the one in REDIS_URL is not among them."
_DATABASE = "The number behind the host in REDIS_URL chooses the database: use /0, which every server has."
_NO_PASSWORD = "The server asks for no password: remove it from REDIS_URL or REDIS_PASSWORD."  # noqa: S105
_PROTECTED = (
    "Its protected mode lets only its own host in: give it a password (requirepass) or a bind address."
)
_OTHER_HOST = "The certificate is another host's: use the name that it was made for in REDIS_URL."
_AUTHORITY = "Set REDIS_SSL_CA_CERTS to the file of the authority that made its certificate."

_ALWAYS = (
    (r"^\d+ \S+:\d+$|^MOVED |SELECT is not allowed in cluster mode", _CLUSTER),
    (r"cluster support disabled", _NO_CLUSTER),
    (r"unknown command '?`?SENTINEL", _NO_SENTINEL),
    (r"knows no '", _NAME),
    (r"DB index is out of range|SELECT", _DATABASE),
    (r"without any password configured", _NO_PASSWORD),
    (r"protected mode", _PROTECTED),
    (r"Protocol error, got \"(<|H|S|2|5)\"", _OTHER),
    (r"Name or service not known|nodename nor servname|No address associated", "Its host is unknown."),
    (r"CERTIFICATE_VERIFY_FAILED.*(Hostname|IP address) mismatch", _OTHER_HOST),
    (r"CERTIFICATE_VERIFY_FAILED", _AUTHORITY),
)

_WITHOUT_TLS = (
    (r"unknown command '?`?(EVALSHA|EVAL|XADD|XREADGROUP|XINFO|SET|GET|SCAN|TYPE)", _SENTINEL),
    (r"Protocol error, got \"\\x15\"|\\x15", _TLS),
    (r"reset by peer|closed the connection|connection was lost", _CUT_OFF),
)
_WITH_TLS = (
    (r"WRONG_VERSION_NUMBER|record layer|UNEXPECTED_EOF|no connection within|no answer within", _NO_TLS),
)


def advice(said: str, settings: Settings) -> str:
    """Advice on what to change in the settings; empty when no mistake is recognized.

    Args:
        said: The message of the failure.
        settings: How Redis is reached.
    """
    cluster = "+cluster:" in settings.redis_url
    rows = _ALWAYS + (_WITH_TLS if settings.uses_tls else _WITHOUT_TLS)
    for pattern, sentence in rows:
        if re.search(pattern, said) and not (cluster and sentence is _CLUSTER):
            return f" {sentence}"
    return ""
