"""Patterns of stream names that are broken are refused where somebody gives them."""

import pytest

from abe_redis import EventWorker, RedisMessageQueueBackend, Settings
from abe_redis.errors import InvalidNameError, SettingsError
from abe_redis.settings import globs
from abe_redis.slack.queues import Queues

WHOLE = ("slack_events", "slack:*", "slack:?", "slack:[ab]", "slack:[^a]", r"slack:\[", r"slack:[\]]", "a]b")
BROKEN = ("slack:[", "slack:[]", "slack:[^]", "slack:[ab", r"slack:[a\]", "slack:[a]x[", "slack:\\")


@pytest.mark.parametrize("pattern", WHOLE)
def test_a_whole_pattern_is_taken(pattern: str) -> None:
    assert globs.flaw(pattern) == ""
    assert Settings(redis_stream_patterns=(pattern,)).redis_stream_patterns == (pattern,)


@pytest.mark.parametrize("pattern", BROKEN)
def test_a_broken_pattern_is_refused(pattern: str) -> None:
    with pytest.raises(SettingsError, match="should be whole patterns"):
        Settings(redis_stream_patterns=(pattern,))
    with pytest.raises(InvalidNameError, match="is no name or pattern of streams"):
        RedisMessageQueueBackend(Settings(redis_stream_patterns=("slack*",)), streams=[pattern])


def test_a_worker_answers_into_a_stream_and_not_into_a_pattern() -> None:
    with pytest.raises(InvalidNameError, match=r"respond_to 'answers:\*' reads like a pattern"):
        EventWorker(RedisMessageQueueBackend(Settings()), print, respond_to="answers:*")


def test_a_door_of_slack_queues_to_streams_and_not_to_patterns() -> None:
    for choice in ("slack:*", "actions=slack:[ab]"):
        with pytest.raises(InvalidNameError, match=r"--queue .* reads like a pattern"):
            Queues.chosen(Settings(), [choice])
    odd = Settings(slack_events_topic="odd?")
    assert Queues.chosen(odd, ["odd?"]).actions == "odd?", "it is a name, as the settings say"
