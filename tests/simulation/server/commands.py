"""All commands but those of streams: strings, hashes, sorted sets, keys, and the server itself."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

from tests.simulation.server.keyspace import Keyspace, SortedSet
from tests.simulation.server.replies import OK, SYNTAX, Refused, Reply, Status, integer, options
from tests.simulation.server.stream_commands import COMMANDS as STREAM_COMMANDS

type Command = Callable[[Keyspace, list[bytes]], Reply]


def _hash(db: Keyspace, key: bytes) -> dict[bytes, bytes]:
    return db.get(key, dict) or {}


def _sorted(db: Keyspace, key: bytes) -> SortedSet:
    return db.get(key, SortedSet) or SortedSet()


# Strings --------------------------------------------------------------------------------------


def get(db: Keyspace, words: list[bytes]) -> Reply:
    """GET key."""
    return db.get(words[0], bytes)


def set_(db: Keyspace, words: list[bytes]) -> Reply:
    """SET key value [NX|XX] [EX s|PX ms|PXAT ms|KEEPTTL]."""
    key, value, *rest = words
    named = options(rest)
    if any(
        word[:1].isalpha() and word not in {b"NX", b"XX", b"EX", b"PX", b"PXAT", b"KEEPTTL"} for word in named
    ):
        raise Refused(SYNTAX)
    if (b"NX" in named and key in db.values) or (b"XX" in named and key not in db.values):
        return None
    db.put(key, value)
    if b"KEEPTTL" not in named:
        db.expires.pop(key, None)
    for word, unit in ((b"EX", 1000), (b"PX", 1)):
        if word in named:
            db.let_expire(key, db.now_ms() + unit * integer(rest[named.index(word) + 1]))
    if b"PXAT" in named:
        db.let_expire(key, integer(rest[named.index(b"PXAT") + 1]))
    return OK


def incr(db: Keyspace, words: list[bytes]) -> Reply:
    """INCR key."""
    count = integer(db.get(words[0], bytes) or b"0") + 1
    db.put(words[0], b"%d" % count)
    return count


# Hashes ---------------------------------------------------------------------------------------


def hget(db: Keyspace, words: list[bytes]) -> Reply:
    """HGET key field."""
    return _hash(db, words[0]).get(words[1])


def hmget(db: Keyspace, words: list[bytes]) -> Reply:
    """HMGET key field …"""
    fields = _hash(db, words[0])
    return [fields.get(word) for word in words[1:]]


def hgetall(db: Keyspace, words: list[bytes]) -> Reply:
    """HGETALL key."""
    return [word for pair in _hash(db, words[0]).items() for word in pair]


def hexists(db: Keyspace, words: list[bytes]) -> Reply:
    """HEXISTS key field."""
    return int(words[1] in _hash(db, words[0]))


def hlen(db: Keyspace, words: list[bytes]) -> Reply:
    """HLEN key."""
    return len(_hash(db, words[0]))


def hkeys(db: Keyspace, words: list[bytes]) -> Reply:
    """HKEYS key."""
    return list(_hash(db, words[0]))


def hset(db: Keyspace, words: list[bytes]) -> Reply:
    """HSET key field value …"""
    fields = _hash(db, words[0])
    before = len(fields)
    fields.update(zip(words[1::2], words[2::2], strict=True))
    db.put(words[0], fields)
    return len(fields) - before


def hsetnx(db: Keyspace, words: list[bytes]) -> Reply:
    """HSETNX key field value."""
    return 0 if words[1] in _hash(db, words[0]) else hset(db, words)


def hdel(db: Keyspace, words: list[bytes]) -> Reply:
    """HDEL key field …"""
    fields = _hash(db, words[0])
    count = sum(fields.pop(word, None) is not None for word in words[1:])
    if not fields:
        db.drop(words[0])
    return count


def hincrby(db: Keyspace, words: list[bytes]) -> Reply:
    """HINCRBY key field n."""
    fields = _hash(db, words[0])
    total = integer(fields.get(words[1], b"0")) + integer(words[2])
    fields[words[1]] = b"%d" % total
    db.put(words[0], fields)
    return total


# Sorted sets ----------------------------------------------------------------------------------


def zadd(db: Keyspace, words: list[bytes]) -> Reply:
    """ZADD key [NX|XX|GT|LT] score member …"""
    key, *rest = words
    how = b""
    if rest[0].upper() in {b"NX", b"XX", b"GT", b"LT"}:
        how, rest = rest[0].upper(), rest[1:]
    members = _sorted(db, key)
    before = len(members)
    for score, member in zip(map(_score, rest[::2]), rest[1::2], strict=True):
        old = members.get(member)
        kept = old is not None and (
            how == b"NX" or (how == b"GT" and score <= old) or (how == b"LT" and score >= old)
        )
        if not kept and (old is not None or how != b"XX"):
            members[member] = score
    if members:
        db.put(key, members)
    return len(members) - before


def zrem(db: Keyspace, words: list[bytes]) -> Reply:
    """ZREM key member …"""
    members = _sorted(db, words[0])
    count = sum(members.pop(word, None) is not None for word in words[1:])
    if not members:
        db.drop(words[0])
    return count


def zcard(db: Keyspace, words: list[bytes]) -> Reply:
    """ZCARD key."""
    return len(_sorted(db, words[0]))


def zscore(db: Keyspace, words: list[bytes]) -> Reply:
    """ZSCORE key member."""
    score = _sorted(db, words[0]).get(words[1])
    return None if score is None else _shown(score)


def zrange(db: Keyspace, words: list[bytes]) -> Reply:
    """ZRANGE key start stop [BYSCORE] [LIMIT offset n] [WITHSCORES]."""
    key, start, stop, *rest = words
    named = options(rest)
    rows = _sorted(db, key).rows()
    if b"BYSCORE" in named:
        rows = [row for row in rows if _above(row[0], start) and _below(row[0], stop)]
        if b"LIMIT" in named:
            at = named.index(b"LIMIT")
            skip, most = integer(rest[at + 1]), integer(rest[at + 2])
            rows = rows[skip : None if most < 0 else skip + most]
    else:
        first, last = integer(start), integer(stop)
        rows = rows[first if first >= 0 else max(0, len(rows) + first) :][
            : (last if last >= 0 else len(rows) + last) + 1 - first if first >= 0 else None
        ]
    if b"WITHSCORES" in named:
        return [word for score, member in rows for word in (member, _shown(score))]
    return [member for _, member in rows]


def _score(word: bytes) -> float:
    try:
        return float(word)
    except ValueError:
        raise Refused("ERR value is not a valid float") from None


def _above(score: float, bound: bytes) -> bool:
    return score > _score(bound[1:]) if bound.startswith(b"(") else score >= _score(bound)


def _below(score: float, bound: bytes) -> bool:
    return score < _score(bound[1:]) if bound.startswith(b"(") else score <= _score(bound)


def _shown(score: float) -> bytes:
    return b"%d" % score if score == int(score) else b"%.17g" % score


# Keys -----------------------------------------------------------------------------------------


def exists(db: Keyspace, words: list[bytes]) -> Reply:
    """EXISTS key …"""
    return sum(word in db.values for word in words)


def del_(db: Keyspace, words: list[bytes]) -> Reply:
    """DEL key …"""
    return sum(db.drop(word) for word in words)


def type_(db: Keyspace, words: list[bytes]) -> Reply:
    """TYPE key."""
    return Status(db.kind(words[0]))


def pexpire(db: Keyspace, words: list[bytes]) -> Reply:
    """PEXPIRE key ms [NX|XX|GT|LT]."""
    return _expire(db, words[0], integer(words[1]), options(words[2:]))


def pexpireat(db: Keyspace, words: list[bytes]) -> Reply:
    """PEXPIREAT key ms [NX|XX|GT|LT]."""
    return _expire(db, words[0], integer(words[1]) - db.now_ms(), options(words[2:]))


def expire(db: Keyspace, words: list[bytes]) -> Reply:
    """EXPIRE key s [NX|XX|GT|LT]."""
    return _expire(db, words[0], 1000 * integer(words[1]), options(words[2:]))


def _expire(db: Keyspace, key: bytes, ms: int, how: list[bytes]) -> int:
    if key not in db.values:
        return 0
    at, never = db.now_ms() + ms, float("inf")
    old = db.expires.get(key, never)
    fits = {b"NX": old == never, b"XX": old != never, b"GT": at > old, b"LT": at < old}
    if not all(fits[word] for word in how):
        return 0
    if ms <= 0:
        db.drop(key)
    else:
        db.let_expire(key, db.now_ms() + ms)
    return 1


def persist(db: Keyspace, words: list[bytes]) -> Reply:
    """PERSIST key."""
    return int(db.expires.pop(words[0], None) is not None)


def pttl(db: Keyspace, words: list[bytes]) -> Reply:
    """PTTL key."""
    if words[0] not in db.values:
        return -2
    at = db.expires.get(words[0])
    return -1 if at is None else at - db.now_ms()


def scan(db: Keyspace, words: list[bytes]) -> Reply:
    """SCAN cursor [MATCH glob] [COUNT n] [TYPE kind]; all in one step."""
    named = options(words)
    keys = list(db.values)
    if b"MATCH" in named:
        glob = words[named.index(b"MATCH") + 1].decode()
        keys = [key for key in keys if fnmatchcase(key.decode(), glob)]
    if b"TYPE" in named:
        keys = [key for key in keys if db.kind(key) == words[named.index(b"TYPE") + 1]]
    return [b"0", list[Any](keys)]


# The server -----------------------------------------------------------------------------------


def time(db: Keyspace, words: list[bytes]) -> Reply:
    """TIME."""
    seconds, microseconds = divmod(db.now_us(), 1_000_000)
    return [b"%d" % seconds, b"%d" % microseconds]


def dbsize(db: Keyspace, words: list[bytes]) -> Reply:
    """DBSIZE."""
    return len(db.values)


def memory(db: Keyspace, words: list[bytes]) -> Reply:
    """MEMORY USAGE key; some number."""
    return 100 if words[1] in db.values else None


def flushall(db: Keyspace, words: list[bytes]) -> Reply:
    """FLUSHALL."""
    db.values.clear()
    db.expires.clear()
    return OK


def wait(db: Keyspace, words: list[bytes]) -> Reply:
    """WAIT n ms."""
    return 0


def ping(db: Keyspace, words: list[bytes]) -> Reply:
    """PING."""
    return Status(b"PONG")


def client(db: Keyspace, words: list[bytes]) -> Reply:
    """CLIENT SETNAME name."""
    if words[0].upper() != b"SETNAME":
        raise Refused(SYNTAX)
    return OK


def hello(db: Keyspace, words: list[bytes]) -> Reply:
    """HELLO; all that is said here is true of a lone primary."""
    return [
        *(b"server", b"redis", b"version", b"7.0.15", b"proto", 2, b"id", 1),
        *(b"mode", b"standalone", b"role", b"master", b"modules", []),
    ]


COMMANDS: dict[bytes, Command] = {
    **STREAM_COMMANDS,
    b"GET": get, b"SET": set_, b"INCR": incr, b"HGET": hget, b"HMGET": hmget, b"HGETALL": hgetall,
    b"HEXISTS": hexists, b"HLEN": hlen, b"HKEYS": hkeys, b"HSET": hset, b"HSETNX": hsetnx, b"HDEL": hdel,
    b"HINCRBY": hincrby, b"ZADD": zadd, b"ZREM": zrem, b"ZCARD": zcard, b"ZSCORE": zscore, b"ZRANGE": zrange,
    b"EXISTS": exists, b"DEL": del_, b"UNLINK": del_, b"TYPE": type_, b"PEXPIRE": pexpire, b"EXPIRE": expire,
    b"PEXPIREAT": pexpireat, b"PERSIST": persist, b"PTTL": pttl, b"SCAN": scan, b"TIME": time,
    b"DBSIZE": dbsize, b"FLUSHALL": flushall, b"WAIT": wait, b"CLIENT": client, b"HELLO": hello,
    b"PING": ping, b"MEMORY": memory,
}  # fmt: skip
