"""The cluster slot of a command.

The rule is Redis's own (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec):
CRC16 of the key, or of the part between its first braces, modulo 16,384.
"""

from collections.abc import Sequence
from itertools import pairwise

from redis.crc import key_slot

from abe_redis.client.calls import Word, Words

SLOTS = 16_384
"""Number of slots of a cluster."""

_WITHOUT_KEY = frozenset(
    (
        *("PING", "INFO", "TIME", "HELLO", "ROLE", "DBSIZE", "SCAN", "ACL", "CONFIG", "CLIENT", "COMMAND"),
        *("SCRIPT", "LATENCY", "CLUSTER", "WAIT", "WAITAOF", "FLUSHALL"),
    )
)
_KEY_BEHIND_SUBCOMMAND = frozenset(("XINFO", "XGROUP", "MEMORY", "OBJECT"))


def slot_of(key: str | bytes) -> int:
    """The slot of a key."""
    return key_slot(key.encode() if isinstance(key, str) else key)


def grouped(keys: Sequence[str]) -> list[list[str]]:
    """The keys in groups of one slot each."""
    groups: dict[int, list[str]] = {}
    for key in keys:
        groups.setdefault(slot_of(key), []).append(key)
    return list(groups.values())


def slot_of_command(words: Words) -> int | None:
    """The slot of a command's first key; None for a command without a key, which any server accepts."""
    key = key_of_command(words)
    return None if key is None else slot_of(key)


def key_of_command(words: Words) -> str | bytes | None:
    """A command's first key."""
    name = _text(words[0]).upper()
    if name in {"EVAL", "EVALSHA"}:
        at = 3 if int(words[2]) else 0
    elif name in {"XREAD", "XREADGROUP"}:
        at = len(words) - len(_streams_of(words)) + 1
    elif name in _WITHOUT_KEY:
        at = 0
    else:
        at = 2 if name in _KEY_BEHIND_SUBCOMMAND else 1
    if not 0 < at < len(words):
        return None
    key = words[at]
    return key if isinstance(key, bytes) else str(key)


def blocked_seconds(words: Words) -> float:
    """Time for which the server may block a read."""
    before = words[: len(words) - len(_streams_of(words))]
    for word, value in pairwise(before[4 if _text(before[1]) == "GROUP" else 1 :]):
        if _text(word) == "BLOCK":
            return int(value) / 1000
    return 0.0


def _streams_of(words: Words) -> Words:
    """The words of an XREAD or XREADGROUP after its options: STREAMS, keys and ids."""
    # A group or consumer may be called STREAMS, or BLOCK.
    first = 4 if _text(words[1]) == "GROUP" else 1
    at = next(at for at in range(first, len(words)) if _text(words[at]) == "STREAMS")
    return words[at:]


def _text(word: Word) -> str:
    """A word as text; redis-py sometimes passes bytes."""
    return word.decode(errors="replace") if isinstance(word, bytes) else str(word)
