"""Every exception that abe-redis raises. The docstring of a class is its default message.

A message is a sentence for the person who reads it: what failed, with which value, and what to do. It never
holds a password, a token or a URL with credentials.
"""

import inspect
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from abe_redis.events.published import Published


class AbeRedisError(Exception):
    """Something in abe-redis failed."""

    added: "Mapping[int, Published]" = MappingProxyType({})
    """From `publish_many`: the results of the events that were added before it failed, or wait in the outbox,
    by their places among the payloads, counted from 0."""
    uncertain: Sequence[int] = ()
    """From `publish` and `publish_many`: the places of those that Redis may have, since no answer came, or
    too few replicas confirmed them. All others were not added."""

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
    """Redis answered with an error that a retry does not fix."""


class CredentialsRefusedError(RedisRefusedError):
    """Redis refused the user name or password."""


class OutboxError(AbeRedisError):
    """The outbox cannot be used."""


class OutboxFullError(OutboxError):
    """The outbox is full; the event was not kept."""


class EmbeddedServerError(AbeRedisError):
    """The embedded server could not be started."""


class ClosedError(AbeRedisError, RuntimeError):
    """This backend is closed; create a new one."""


class ForkedError(AbeRedisError, RuntimeError):
    """The parent process began this before the fork, and keeps it. Begin a new one in this process."""


class WrongLoopError(AbeRedisError, RuntimeError):
    """This consume() belongs to the event loop that first asked it. Ask it there, or call consume() here."""


class LeaseLostError(AbeRedisError):
    """This event is no longer held: its lease expired, or it was acked, released or buried."""


class RequestError(AbeRedisError, ValueError):
    """The request cannot be carried out as it stands."""


class InvalidArgumentError(RequestError):
    """An argument of the request has a value that is not allowed."""


class AnswerTooLateError(AbeRedisError):
    """Slack waits for this answer only while it posts; that is over when a worker handles the payload."""


class NotAuthorizedError(AbeRedisError):
    """The Bolt app found no installation for the workspace of this event."""


class FailedAnswerError(AbeRedisError):
    """The Bolt app answered with a status by which it says that it failed."""
