"""Events that are buried, redriven and finished."""

import pytest

from abe_redis import RedisMessageQueueBackend
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letters import DeadLetters
from abe_redis.operations.scope import Scope
from abe_redis.streams import names

TOPIC = "slack_events"
DEAD = names.dead_letters(TOPIC)
ALL = Choice(everything=True)


@pytest.fixture
def redis_url(either_url: str) -> str:
    """Every test runs on both servers."""
    return either_url


@pytest.fixture
def letters(backend: RedisMessageQueueBackend) -> DeadLetters:
    return DeadLetters(Scope(backend))
