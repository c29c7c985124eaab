"""What a consumer logs of chosen streams that are not there: a mistyped name looks like a quiet one."""

import logging
from collections.abc import Collection

from abe_redis.runtime.likeness import did_you_mean
from abe_redis.streams.names import parts_of, topic_of
from abe_redis.streams.patterns import Narrowed, Patterns

_LOG = logging.getLogger(__name__)


def tell(patterns: Patterns, missing: Collection[str], known: Collection[str]) -> None:
    """Say which of the chosen streams do not exist, and which were perhaps meant.

    Args:
        patterns: What was chosen; of patterns that all consumers of the settings have, nothing is said.
        missing: Names that are no stream.
        known: Streams that the index has or that this consumer reads, whether chosen or not.
    """
    if not isinstance(patterns, Narrowed):
        return
    candidates = list(dict.fromkeys([*filter(None, map(topic_of, known)), *known]))
    for name in patterns.literals:
        if name in missing and not parts_of(name, known):
            meant = did_you_mean(name, candidates)
            level = logging.WARNING if meant else logging.INFO
            _LOG.log(
                level, "The stream %r does not exist (yet): it is read once it has an event.%s", name, meant
            )
    for glob in patterns.globs:
        if not any(Patterns([glob]).match(one) for one in known):
            _LOG.info("No known stream matches %r (yet): what does is read once it is found.", glob)
