"""A Bolt app as the handler of a worker: `EventWorker(backend, BoltHandler(app))`."""

from abe_redis.errors import AnswerTooLateError, FailedAnswerError, NotAuthorizedError
from abe_redis.slack.bolt.handler import BoltHandler

__all__ = ["AnswerTooLateError", "BoltHandler", "FailedAnswerError", "NotAuthorizedError"]
