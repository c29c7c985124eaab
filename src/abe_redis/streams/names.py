"""The keys that belong to a stream, and the stream names that are ours.

Every helper key carries the stream's name as a hash tag, so that a script that touches both
stays in one cluster slot. A stream whose name has a hash tag of its own shares that one.
"""

import hashlib
import re
from collections.abc import Collection, Iterable
from functools import lru_cache
from os.path import commonprefix

from abe_redis.errors import InvalidNameError

INDEX = "abe:streams"
"""Sorted set of stream names by the server's time, in seconds, of their last news."""

AUDIT = "abe:audit"
"""The audit: a stream of the changes that people and agents made."""

MAX_NAME_BYTES = 512


def hash_tag(name: str) -> str | None:
    """The part of a key that Redis Cluster hashes, when it is not the whole key.

    By the cluster specification it is the part between the first `{` and the first `}` after it, unless that
    is empty.
    """
    start = name.find("{")
    end = name.find("}", start + 1) if start >= 0 else -1
    return name[start + 1 : end] if end > start + 1 else None


@lru_cache(maxsize=16_384)  # some for each of thousands of streams
def in_slot_of(prefix: str, stream: str) -> str:
    """A key that starts with `prefix` and lives in the stream's cluster slot."""
    return f"{prefix}{stream}" if hash_tag(stream) else f"{prefix}{{{stream}}}"


def partition(topic: str, number: int) -> str:
    """The stream that holds a part of a topic."""
    return f"{topic}:p{number}"


_PARTITION = re.compile(r"(.+):p(?:0|[1-9][0-9]{0,5})", re.DOTALL)


def topic_of(stream: str) -> str | None:
    """The topic of which a stream holds a part, by its name; None when it is no partition."""
    match = _PARTITION.fullmatch(stream)
    return match[1] if match else None


def dead_letters(stream: str) -> str:
    """The stream that holds the dead letters of `stream`."""
    return in_slot_of("dead:", stream)


def seen(stream: str, event_id: str) -> str:
    """The key in which earlier versions remember a published event of `stream`; now it is `seen.buckets`."""
    return f"{in_slot_of('abe:seen:', stream)}:{event_id}"


def mention(stream: str, key: str) -> str:
    """The key that remembers the published event of a mention in `stream`."""
    return seen(stream, f"mention:{key}")


_SEEN = re.compile(
    r"abe:seen:(?:\{([^}]*)\}|(.*\{[^}]+\}.*)):"
    r"(?:[0-9]:[0-9]+|state|event:.*|mention:.*|[0-9a-f]{32})",
    re.DOTALL,
)


def published_to(key: str) -> str | None:
    """The stream whose events a key remembers."""
    match = _SEEN.fullmatch(key)
    return (match[1] or match[2]) if match else None


NOBODY = b"abe:nobody"
"""The consumer name under which entries are pending that nobody holds; see `holder.lua`."""


def records(stream: str) -> str:
    """The hash with the records about each group; see `groups`."""
    return in_slot_of("abe:groups:", stream)


def with_records(streams: Iterable[str]) -> list[str]:
    """Each stream followed by its records, as the keys of a script that needs both."""
    return [key for stream in streams for key in (stream, records(stream))]


def with_records_and_due(streams: Iterable[str], group: str) -> list[str]:
    """Each stream followed by its records and its postponed entries."""
    return [key for stream in streams for key in (stream, records(stream), due(stream, group))]


def with_due(streams: Iterable[str], group: str) -> list[str]:
    """Each stream followed by its postponed entries."""
    return [key for stream in streams for key in (stream, due(stream, group))]


def pending(stream: str, group: str) -> str:
    """The hash of what a group had pending lately, and what was settled since."""
    return f"{in_slot_of('abe:pending:', stream)}:{group}"


def with_all(streams: Iterable[str], group: str) -> list[str]:
    """Each stream followed by its records, its postponed entries, its leases and what is pending."""
    return [
        key
        for stream in streams
        for key in (
            stream,
            records(stream),
            due(stream, group),
            leases(stream, group),
            pending(stream, group),
        )
    ]


def due(stream: str, group: str) -> str:
    """The sorted set of a group's postponed entries, by the time in ms at which they are due."""
    return f"{in_slot_of('abe:due:', stream)}:{group}"


def leases(stream: str, group: str) -> str:
    """The hash of the lease duration of each consumer of a group, as it has recorded itself."""
    return f"{in_slot_of('abe:leases:', stream)}:{group}"


def held(stream: str, group: str) -> str:
    """The hash of the times since when each consumer of a group holds events, as it has recorded itself."""
    return f"{in_slot_of('abe:held:', stream)}:{group}"


def owner(stream: str, group: str) -> str:
    """The key that names the present owner of a stream in a group."""
    return f"{in_slot_of('abe:owner:', stream)}:{group}"


def members(group: str, patterns: "Patterns") -> str:
    """The sorted set of the ordered consumers that share these patterns, by their last announcement."""
    digest = hashlib.blake2b(str(patterns).encode(), digest_size=6).hexdigest()
    return f"abe:members:{digest}:{group}"


def is_dead_letters(name: str) -> bool:
    """Whether a key is a stream of dead letters, which no pattern makes consumable."""
    return name.startswith("dead:") and hash_tag(name) is not None


def buried_from(name: str) -> str:
    """The stream whose dead letters `name` holds."""
    inner = name.removeprefix("dead:")
    whole = inner.removeprefix("{").removesuffix("}")
    return whole if in_slot_of("dead:", whole) == name else inner


def check_stream(name: str) -> str:
    """Check the name of a stream, and return it.

    Raises:
        InvalidNameError: It is empty, too long, reserved, not printable, or would put its dead
            letters into another cluster slot.
    """
    _check(name, "stream")
    if name.startswith("abe:") or is_dead_letters(name):
        raise InvalidNameError(
            f"{name!r} cannot be a stream: abe-redis keeps the names that start with 'abe:' and 'dead:{{…}}'."
        )
    if "}" in name and not hash_tag(name):
        raise InvalidNameError(
            f"{name!r} cannot be a stream: it has a '}}' without a hash tag such as '{{team1}}', so its dead "
            "letters could not share its cluster slot. Choose a name without braces."
        )
    return name


def check_group(name: str) -> str:
    """Check the name of a group, and return it.

    Raises:
        InvalidNameError: It is empty, too long or not printable.
    """
    return _check(name, "consumer group")


def check_consumer(name: str) -> str:
    """Check the name of a consumer, and return it.

    Raises:
        InvalidNameError: It is empty, too long or not printable.
    """
    return _check(name, "consumer")


def check_text(name: str, what: str) -> str:
    """Return a name, if it is a text.

    Raises:
        InvalidNameError: It is none.
    """
    if not isinstance(name, str):
        raise InvalidNameError(f"The name of a {what} must be a str, not {type(name).__name__}.")
    return name


def _check(name: str, what: str) -> str:
    if not check_text(name, what):
        raise InvalidNameError(f"The name of a {what} is empty; give it a name such as 'slack_events'.")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidNameError(f"{name!r} cannot be a {what}: it is not valid Unicode text.") from None
    if size > MAX_NAME_BYTES:
        raise InvalidNameError(f"The name of a {what} has {size} bytes; the limit is {MAX_NAME_BYTES}.")
    if not name.isprintable():
        raise InvalidNameError(f"{name!r} cannot be a {what}: it holds characters that cannot be printed.")
    return name


class Patterns:
    """The streams that we consume and that agents may use: names, globs, and their partitions."""

    def __init__(self, patterns: Iterable[str], *, partitions: int = 1) -> None:
        """Create it.

        Args:
            patterns: Names and globs.
            partitions: Number of streams over which each topic is spread.
        """
        patterns = tuple(patterns)
        self.partitions = partitions
        self.globs = tuple(pattern for pattern in patterns if re.search(r"[*?\[\\]", pattern))
        """The patterns that need a search."""
        self.literals = tuple(pattern for pattern in patterns if pattern not in self.globs)
        """The patterns that name one stream."""
        self.names = self.literals
        """Streams that are known by name: the literals, and their partitions."""
        if partitions > 1:
            self.names += tuple(partition(topic, at) for topic in self.literals for at in range(partitions))
        self._expression = re.compile(
            "|".join(_glob_to_regex(glob) for glob in self.globs) or r"(?!)", re.DOTALL
        )

    @property
    def keys(self) -> tuple[str, ...]:
        """Key patterns for an ACL user that cover all of these streams."""
        whole = (*self.literals, *self.globs)
        spread = [f"{name}:p*" for name in whole if not name.endswith("*")] if self.partitions > 1 else []
        return (*whole, *spread)

    @property
    def search(self) -> str | None:
        """A glob for SCAN that matches all of these streams; None when their names have nothing in common.

        The server checks the type of each key that the glob matches: without a glob, 33,000 keys block Redis
        7.0 for 100 ms, with one for 12.
        """
        begins = [_beginning(pattern) for pattern in (*self.literals, *self.globs)]
        begin = commonprefix(begins)  # noqa: RUF071 - a prefix of characters is meant
        return f"{begin}*" if begin else None

    def match(self, name: str) -> bool:
        """Whether `name` is one of these streams; our own keys and dead letters never are."""
        if name.startswith("abe:") or is_dead_letters(name):
            return False
        topic = topic_of(name)
        return self._matches(name) or (topic is not None and self._matches(topic))

    def _matches(self, name: str) -> bool:
        return name in self.literals or self._expression.fullmatch(name) is not None

    def __str__(self) -> str:
        return ", ".join((*self.literals, *self.globs))


class Narrowed(Patterns):
    """The streams that two sets of patterns both match."""

    def __init__(self, whole: Patterns, patterns: Iterable[str]) -> None:
        if isinstance(patterns, str) or not all(isinstance(one, str) for one in patterns):
            raise InvalidNameError(
                f"streams is {patterns!r}; it must be a list of names, as ['slack_events']."
            )
        super().__init__(patterns, partitions=whole.partitions)
        self._whole = whole

    def match(self, name: str) -> bool:
        """Whether both match the name."""
        return super().match(name) and self._whole.match(name)


def narrowed(whole: Patterns, streams: Collection[str]) -> Patterns:
    """The patterns, restricted to the streams that these names and globs match; all without any.

    Raises:
        InvalidNameError: One of the names is not among them, so that nothing of it would ever be read.
    """
    if not streams:
        return whole
    found = Narrowed(whole, streams)
    for name in found.literals:
        if not found.match(check_stream(name)):
            raise InvalidNameError(
                f"The stream {name!r} is not among those that are read here: {whole} "
                "(REDIS_STREAM_PATTERNS). Correct the name, or add it there."
            )
    return found


def check_reach(whole: Patterns, streams: Collection[str]) -> None:
    """Refuse names and globs that can match none of these streams.

    Raises:
        InvalidNameError: One of them cannot.
    """
    begins = [_beginning(glob) for glob in whole.globs]
    for glob in narrowed(whole, streams).globs if streams else ():
        expression, begin = re.compile(_glob_to_regex(glob), re.DOTALL), _beginning(glob)
        if not any(map(expression.fullmatch, whole.names)) and not any(
            one.startswith(begin) or begin.startswith(one) for one in begins
        ):
            raise InvalidNameError(
                f"No stream that matches {glob!r} is among those that are read here: {whole} "
                "(REDIS_STREAM_PATTERNS). Correct the pattern, or add it there."
            )


def _beginning(glob: str) -> str:
    """What every name that a glob matches begins with."""
    return re.split(r"[*?\[\\]", glob)[0]


@lru_cache(maxsize=256)
def _glob_to_regex(glob: str) -> str:
    r"""Redis' own glob (`*`, `?`, `[a-z]`, `[^a]`, `\x`) as a regular expression."""
    out: list[str] = []
    position = 0
    while position < len(glob):
        char = glob[position]
        position += 1
        if char == "*":
            out.append(".*")
        elif char == "?":
            out.append(".")
        elif char == "\\" and position < len(glob):
            out.append(re.escape(glob[position]))
            position += 1
        elif char == "[" and (
            match := re.compile(r"(\^?)((?:\\.|[^\]\\])+)\]", re.DOTALL).match(glob, position)
        ):
            out.append(f"[{match[1]}{match[2].replace('[', r'\[').replace('^', r'\^')}]")
            position = match.end()
        else:
            out.append(re.escape(char))
    return f"(?:{''.join(out)})"
