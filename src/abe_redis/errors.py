"""Every exception abe-redis raises. A class's docstring is the default of its message.

A message is a sentence for the person who meets it: what failed, with which value, what to
do. It never holds a password, a token or a URL with credentials.
"""

import inspect


class AbeRedisError(Exception):
    """Something in abe-redis failed."""

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or inspect.getdoc(type(self)))


class SettingsError(AbeRedisError, ValueError):
    """A setting has a value that is not allowed."""


class InvalidNameError(AbeRedisError, ValueError):
    """A stream, group or consumer has a name that is not allowed."""


class PayloadError(AbeRedisError, ValueError):
    """The payload cannot be written as a JSON object."""


class PayloadTooLargeError(PayloadError):
    """The payload is larger than a stream entry may be."""


class RedisUnavailableError(AbeRedisError, ConnectionError):
    """Redis did not answer in time."""


class RedisRefusedError(AbeRedisError):
    """Redis answered with an error that trying again does not cure."""


class OutboxError(AbeRedisError):
    """The outbox cannot be used."""


class OutboxFullError(OutboxError):
    """The outbox is full; the event was not kept."""


class EmbeddedServerError(AbeRedisError):
    """The embedded server could not be started."""


class ClosedError(AbeRedisError, RuntimeError):
    """This back end is closed; make a new one."""


class LeaseLostError(AbeRedisError):
    """This event is not held any more: its lease ran out, or it was finished, given back or buried."""


class RequestError(AbeRedisError, ValueError):
    """What was asked for cannot be done as asked."""
