"""What a bot's own tests need: a queue without a server, events as Slack sends them, a real server.

The fixtures of the pytest plugin (`abe_redis_backend`, `abe_redis_url`) are there wherever pytest is.
"""

from abe_redis.testing.memory import Buried, InMemoryBackend
from abe_redis.testing.slack import app_mention, envelope, message, reaction_added, signed, url_verification

__all__ = [
    "Buried",
    "InMemoryBackend",
    "app_mention",
    "envelope",
    "message",
    "reaction_added",
    "signed",
    "url_verification",
]
