"""The keys that belong to a stream, and the names that streams, groups and consumers may have.

Every helper key carries the stream's name as a hash tag, so that a script that touches both
stays in one cluster slot. A stream whose name has a hash tag of its own shares that one.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache

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


@lru_cache(maxsize=16_384)
def _of_group(prefix: str, stream: str, group: str) -> str:
    """The key of a group beside a stream; `beside.lua` makes the same.

    A colon in the group's name is written otherwise. Else the group `a:b` of the stream `q:{t}` would have
    the keys of the group `b` of the stream `q:{t}:a`.
    """
    return f"{in_slot_of(prefix, stream)}:{group.replace('%', '%25').replace(':', '%3A')}"


def partition(topic: str, number: int) -> str:
    """The stream that holds a part of a topic."""
    return f"{topic}:p{number}"


_PARTITION = re.compile(r"(.+):p(?:0|[1-9][0-9]{0,5})", re.DOTALL)


def topic_of(stream: str) -> str | None:
    """The topic of which a stream holds a part, by its name; None when it is no partition."""
    match = _PARTITION.fullmatch(stream)
    return match[1] if match else None


def parts_of(topic: str, streams: Iterable[str]) -> list[str]:
    """Those of some streams that hold a part of a topic."""
    return [stream for stream in streams if topic_of(stream) == topic]


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
"""The consumer name under which released entries are pending; see `holder.lua`."""
NOBODYS = frozenset((NOBODY, b"abe:postponed", b"abe:replay"))
"""The consumer names of entries that nobody holds; see `nobody.lua`."""


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
    return _of_group("abe:pending:", stream, group)


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
    return _of_group("abe:due:", stream, group)


def reasons(stream: str, group: str) -> str:
    """The hash of the reasons for which a group's entries are postponed; see `not_due.lua`."""
    return _of_group("abe:reasons:", stream, group)


def leases(stream: str, group: str) -> str:
    """The hash of the lease duration of each consumer of a group, as it has recorded itself."""
    return _of_group("abe:leases:", stream, group)


def held(stream: str, group: str) -> str:
    """The hash of the times since when each consumer of a group holds events, as it has recorded itself."""
    return _of_group("abe:held:", stream, group)


def owner(stream: str, group: str) -> str:
    """The key that names the present owner of a stream in a group."""
    return _of_group("abe:owner:", stream, group)


def members(group: str, patterns: object) -> str:
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


def home_of(name: str) -> str:
    """The stream whose dead letters `name` holds; any other stream itself."""
    return buried_from(name) if is_dead_letters(name) else name


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
        InvalidNameError: It is empty, too long or not printable, or one of ours.
    """
    return _not_ours(_check(name, "consumer group"), "consumer group")


def check_consumer(name: str) -> str:
    """Check the name of a consumer, and return it.

    Raises:
        InvalidNameError: It is empty, too long or not printable, or one of ours.
    """
    return _not_ours(_check(name, "consumer"), "consumer")


def _not_ours(name: str, what: str) -> str:
    if name.encode() in NOBODYS:
        raise InvalidNameError(
            f"{name!r} cannot be a {what}: abe-redis keeps it for events that nobody holds."
        )
    return name


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
        such = {"consumer": "worker-1", "consumer group": "workers"}.get(what, "slack_events")
        raise InvalidNameError(f"The name of a {what} is empty; give it a name such as {such!r}.")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidNameError(f"{name!r} cannot be a {what}: it is not valid Unicode text.") from None
    if size > MAX_NAME_BYTES:
        raise InvalidNameError(f"The name of a {what} has {size} bytes; the limit is {MAX_NAME_BYTES}.")
    if not name.isprintable():
        raise InvalidNameError(f"{name!r} cannot be a {what}: it holds characters that cannot be printed.")
    return name
