"""Exceptions in words, without what looks like a secret."""

import traceback

from abe_redis.sanitize.secrets import mask

_MOST = 300


def describe(error: Exception) -> str:
    """An exception's type and message in a line, without what looks like a secret."""
    message = mask(" ".join(str(error).split()))
    return f"{type(error).__name__}: {message[:_MOST]}" if message else type(error).__name__


_MOST_OF_A_TRACE = 8000


def trace(error: Exception) -> str:
    """Where it was raised, without what looks like a secret; its end, which says most."""
    return mask("".join(traceback.format_exception(error)))[-_MOST_OF_A_TRACE:].rstrip()
