"""Which slot of a cluster a command belongs to.

The rule is Redis's own (https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec):
CRC16 of the key, or of what stands between its first braces, modulo 16,384.
"""

from redis.crc import key_slot

from abe_redis.transport import Words

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


def slot_of_command(words: Words) -> int | None:
    """The slot of a command's first key; None for one without a key, which any server may have."""
    name = str(words[0], "ascii") if isinstance(words[0], bytes) else str(words[0])
    name = name.upper()
    if name in {"EVAL", "EVALSHA"}:
        at = 3 if int(words[2]) else 0
    elif name in {"XREAD", "XREADGROUP"}:
        at = _behind_streams(words)
    elif name in _WITHOUT_KEY:
        at = 0
    else:
        at = 2 if name in _KEY_BEHIND_SUBCOMMAND else 1
    if not 0 < at < len(words):
        return None
    key = words[at]
    return slot_of(key if isinstance(key, bytes) else str(key))


def _behind_streams(words: Words) -> int:
    # A group or consumer may be called STREAMS.
    first = 4 if words[1] == "GROUP" else 1
    return words.index("STREAMS", first) + 1
