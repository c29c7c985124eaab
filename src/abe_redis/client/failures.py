"""Which failures of Redis are temporary, and a sentence for each of the others."""

import builtins
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    ConnectionError,  # noqa: A004 - redis' own
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - redis' own
)

from abe_redis.client import optional_commands, script_rights, url_mixups
from abe_redis.client.calls import TooFewReplicasError, was_sent
from abe_redis.client.passing_states import STREAM_FULL, code_of, state_of
from abe_redis.errors import AbeRedisError, CredentialsRefusedError, RedisRefusedError, RedisUnavailableError
from abe_redis.runtime.plurals import named
from abe_redis.settings import Settings

FAILURES = (RedisError, OSError, EOFError)
"""Every exception that a command can raise because of the server or the connection."""

_NO_KEY = "no such key"
"""The answer of XINFO when somebody removed the stream just before."""
_GONE = ("NOGROUP", "WRONGTYPE", "UNBLOCKED", _NO_KEY)

_KNOWN = {"BUSYGROUP", "BUSYKEY", "NOGROUP", "WRONGTYPE"}
_SCRIPT = "user_script"
"""Within each error of a script itself."""
_SPENT = "exhausted the last possible id"
"""Words for a stream whose last id is the largest there is."""
_TOO_LARGE = ("bulk length", "maximum allowed size")
"""Words for more than `proto-max-bulk-len`."""

_REFUSALS = (AuthenticationError, AuthorizationError)


def passes(error: BaseException) -> bool:
    """Whether a retry can help: after a restart, a failover, a cut connection, or a state of the server."""
    if is_refused_login(error):
        return False
    if isinstance(error, (ConnectionError, TimeoutError)) or not isinstance(error, RedisError):
        return True
    return state_of(error) is not None


def is_lost(error: BaseException) -> bool:
    """Whether a command was sent and its answer never came, so that it may have been carried out."""
    if is_refused_login(error) or state_of(error) is not None or not was_sent(error):
        return False
    return isinstance(error, (ConnectionError, TimeoutError)) or not isinstance(error, RedisError)


def is_refused_login(error: BaseException) -> bool:
    """Whether the server refused the user name or password."""
    return isinstance(error, _REFUSALS)


def passes_for_who_was_let_in(error: BaseException) -> bool:
    """The same for a client that has worked before: new credentials and unknown answers pass, too."""
    return is_refused_login(error) or passes(error) or is_unknown(error)


def lacks_right(error: BaseException) -> bool:
    """Whether a server refuses a command to this user, or within a script to everybody."""
    return isinstance(error, NoPermissionError) or script_rights.is_refusal(str(error))


def is_unknown(error: BaseException) -> bool:
    """Whether a server refuses, and does not say in known words what would have to change.

    Known are a right or a command that is missing, a key of another type, an event that is too large, and an
    error within a script. Another answer may pass, as a proxy's "ERR Connection refused".
    """
    if not isinstance(error, ResponseError) or passes(error) or is_refused_login(error):
        return False
    is_known = code_of(error) in _KNOWN or is_too_large(error) or optional_commands.is_refused(error)
    return not (is_known or _SCRIPT in str(error) or lacks_right(error))


def is_too_large(error: BaseException) -> bool:
    """Whether a server refuses an event because of its size."""
    return any(words in str(error).lower() for words in _TOO_LARGE)


def stream_is_gone(error: BaseException) -> bool:
    """Whether a stream or group was deleted or replaced by a key of another type."""
    return isinstance(error, ResponseError) and str(error).startswith(_GONE)


def pause_seconds(failures: int) -> float:
    """Pause before the next try after this many failures in a row; at most a second."""
    return float(min(0.05 * 2 ** min(failures, 5), 1))


@contextmanager
def explained(settings: Settings, *, doing: str) -> Iterator[None]:
    """Turn the exceptions of commands into the sentences of `explain`."""
    try:
        yield
    except FAILURES as error:
        raise explain(error, settings, doing=doing) from None


def uncertain(
    error: BaseException,
    settings: Settings,
    *,
    doing: str,
    about: Sequence[str],
    look: str,
    within: float | None,
) -> RedisUnavailableError:
    """The sentence about a change that may be done: Redis got the command, and its answer was lost.

    Args:
        error: The failure.
        settings: Where Redis is.
        doing: What was done.
        about: What may be changed: ids or names.
        look: The command that shows it.
        within: Seconds after which Redis refuses the command, if it does.
    """
    late = (
        f"if it is still on its way, Redis does it within {within:g} s, and not later"
        if within is not None
        else "if something on its way holds it up, it is done when it arrives"
    )
    return RedisUnavailableError(
        f"Redis at {settings.redis_url} got the command for {doing}, and its answer was lost "
        f"({_shown(error, settings)}): it may be done, for {named(about)}; {late}. "
        f"Look before you do it again: `{look}`."
    )


def explain(error: BaseException, settings: Settings, *, doing: str) -> AbeRedisError:  # noqa: PLR0911 - one per kind
    """The sentence for a person: what failed, where, and what to do. No secret is in it."""
    if isinstance(error, AbeRedisError):
        return error
    where, said = settings.redis_url, _shown(error, settings)
    advised = url_mixups.advice(said, settings)
    if is_refused_login(error):
        return CredentialsRefusedError(
            f"Redis at {where} refused the user name or password while {doing} ({said}). Check "
            f"REDIS_USERNAME and REDIS_PASSWORD, or the credentials in REDIS_URL."
            f"{advised}{_about_sentinels(settings)}"
        )
    if lacks_right(error):
        command = script_rights.command_of(str(error))
        return RedisRefusedError(
            f"Redis at {where} does not permit {f'{command}, so it refuses ' if command else ''}{doing} "
            f"({said}). Give this user the right with ACL SETUSER, as `abe-redis doctor` prints it for each "
            "role, or use another user, or a server that has the command."
        )
    if code_of(error) == STREAM_FULL:
        return RedisRefusedError(
            f"The stream has {settings.redis_stream_hard_maxlen} entries, so Redis at {where} took no more "
            f"when {doing}: its consumers are behind, nobody reads it, or one unfinished event keeps what is "
            "finished. `abe-redis stats` says which, and what to do. REDIS_STREAM_HARD_MAXLEN is the bound."
        )
    if about_credentials := _about_credentials(said, settings, doing=doing):
        return RedisUnavailableError(about_credentials)
    if (state := state_of(error)) is not None:
        kind = RedisRefusedError if state.is_full else RedisUnavailableError
        advised = advised or f" {state.advice}"
        return kind(f"Redis at {where} {state.what}, which holds up {doing} ({said}).{advised}")
    if isinstance(error, TooFewReplicasError):
        return RedisUnavailableError(_about_replicas(said, settings, doing=doing))
    if passes(error):
        return RedisUnavailableError(
            f"Redis at {where} could not be reached for {doing} ({said}). Check that it runs and that "
            f"REDIS_URL is right.{advised or _about_tls(settings)}"
        )
    return _refused(error, said, settings, doing=doing, advised=advised)


def _refused(
    error: BaseException, said: str, settings: Settings, *, doing: str, advised: str
) -> AbeRedisError:
    """The error for a refusal that a retry does not fix."""
    where = settings.redis_url
    if str(error).startswith(_NO_KEY):
        return RedisUnavailableError(f"Somebody removed a stream while {doing} at {where}. Try again.")
    if str(error).startswith("WRONGTYPE"):
        return RedisRefusedError(
            f"The key is not a stream, or a key beside it is of another type, so Redis at {where} refused "
            f"{doing}. Choose another stream, or rename that key: `abe-redis doctor` names it."
        )
    if _SPENT in said.lower():
        return RedisRefusedError(
            f"A stream has the last id there is, so Redis at {where} adds nothing to it and refused {doing}: "
            "somebody gave it that id (XADD or XSETID). `abe-redis stats` says how it takes events again."
        )
    return RedisRefusedError(f"Redis at {where} refused {doing}: {said}.{advised}")


def _about_replicas(said: str, settings: Settings, *, doing: str) -> str:
    """The sentence about an event that the server has, and too few of its replicas."""
    return (
        f"Redis at {settings.redis_url} was reached and has what {doing} wrote, but {said}, so it does not "
        f"count as published (REDIS_WAIT_REPLICAS is {settings.redis_wait_replicas}). Consumers get the "
        "event, unless a failover loses it; a retry with the same event_id does not add it again. Bring the "
        "replicas back, or lower REDIS_WAIT_REPLICAS: `abe-redis doctor` says how many keep up."
    )


def _about_credentials(said: str, settings: Settings, *, doing: str) -> str:
    """The sentence about credentials that are read for each connection, if they are the cause."""
    if "refuses the credentials" in said:
        source = "REDIS_CREDENTIALS" if settings.redis_credentials else "REDIS_PASSWORD_FILE"
        return (
            f"Redis at {settings.redis_url} refuses the credentials from {source}, which holds up {doing} "
            f"({said}). They are read again for each connection: put valid ones there."
        )
    if "of REDIS_PASSWORD_FILE cannot be read" in said or "provider of REDIS_CREDENTIALS" in said:
        return (
            f"There are no credentials for Redis at {settings.redis_url}, which holds up {doing}: {said}. "
            "They are looked for again for each connection, so no restart is needed when they are there."
        )
    return ""


def _about_sentinels(settings: Settings) -> str:
    return (
        " If it was a Sentinel: REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD."
        if "+sentinel:" in settings.redis_url
        else ""
    )


def _about_tls(settings: Settings) -> str:
    """More advice for TLS, since a server that misses our certificate just closes the connection."""
    if not settings.uses_tls:
        return ""
    return (
        " Check also that it speaks TLS there, that REDIS_SSL_CA_CERTS holds the authority of its "
        "certificate, and, if it asks for a client certificate, REDIS_SSL_CERTFILE and REDIS_SSL_KEYFILE."
    )


_SHOWN = 500


def _shown(error: BaseException, settings: Settings) -> str:
    """The failure's own message, on one line, shortened, and without secrets."""
    is_silence = isinstance(error, (TimeoutError, builtins.TimeoutError))
    text = " ".join(script_rights.without_place(str(error)).split()) or (
        "no answer in time" if is_silence else type(error).__name__
    )
    for secret in settings.secrets:
        text = text.replace(secret, "***")
    return (text if len(text) <= _SHOWN else text[:_SHOWN] + "…").rstrip(".")
