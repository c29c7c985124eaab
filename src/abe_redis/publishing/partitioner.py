"""The conversation of an event, and the partition of that conversation.

The order within a conversation matters, so all of it goes to one stream. With `REDIS_STREAM_PARTITIONS` a
topic is several streams, and a digest of the conversation chooses one of them.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from abe_redis.errors import PayloadError
from abe_redis.events import codec
from abe_redis.events.codec import Fields
from abe_redis.events.conversation import Grain, conversation_of
from abe_redis.runtime.signals import is_ctrl_c
from abe_redis.sanitize.exceptions import describe
from abe_redis.streams import names
from abe_redis.streams.patterns import Patterns

type Conversation = Callable[[dict[str, Any]], str | None]
"""Returns the conversation of a payload; None when its order does not matter."""

_MOST = 200
"""Characters of a conversation's name that are used; Slack's ids have about ten."""


def partition_of(key: str, partitions: int) -> int:
    """The number of a conversation's partition, the same everywhere and for ever."""
    digest = hashlib.blake2b(key.encode(errors="surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest) % partitions


@dataclass(frozen=True, slots=True)
class Partitioner:
    """How topics are spread over streams."""

    patterns: Patterns
    conversation: Conversation | None = None
    """A function in place of `conversation_of`."""
    grain: Grain = "channel"
    """The kind of conversation, without such a function."""

    @property
    def is_needed(self) -> bool:
        """Whether the conversation of an event influences where and how it is written."""
        return self.patterns.partitions > 1 or self.conversation is not None or self.grain != "channel"

    def name(self, payload: dict[str, Any]) -> str | None:
        """The conversation of a payload.

        Raises:
            PayloadError: The given function failed, or returned something else than a name.
        """
        if self.conversation is None:
            found = conversation_of(payload, self.grain)
        else:
            try:
                found = self.conversation(payload)
            except BaseException as error:
                if is_ctrl_c(error):
                    raise
                raise PayloadError(
                    f"The function that names an event's conversation failed with {describe(error)}. "
                    "Nothing was published."
                ) from error
            if found is not None and not isinstance(found, str):
                raise PayloadError(
                    "The function that names an event's conversation must give a str or None, not "
                    f"{type(found).__name__}. Nothing was published."
                )
        return found[:_MOST] if found else None

    def written(self, conversation: str | None, attempt: str) -> Fields:
        """The field that names a conversation in the entry, if there is one to write.

        When a function says that an event has none, its field holds a name that no other event has: otherwise
        a worker, of whatever version, would find the conversation of the payload.
        """
        if conversation is not None:
            return {codec.CONVERSATION: conversation.encode(errors="surrogatepass")}
        return {} if self.conversation is None else {codec.CONVERSATION: b"\0" + attempt.encode()}

    def longest(self, topic: str) -> str:
        """The longest name of a stream of this topic."""
        return (
            topic if self.patterns.partitions == 1 else names.partition(topic, self.patterns.partitions - 1)
        )

    def stream(self, topic: str, key: str) -> str:
        """The stream of a topic for a key; the topic itself when it has no partitions.

        A stream that no consumer with these settings discovers is never spread, since its readers know it by
        its name.
        """
        if self.patterns.partitions == 1 or names.topic_of(topic) or not self.patterns.match(topic):
            return topic
        return names.partition(topic, partition_of(key, self.patterns.partitions))
