"""The simulated server answers as a real one: the same commands, by a seed, to both."""

import random
import time
from typing import Any

import pytest
import redis

from tests.servers import Server as RealServer
from tests.simulation.server.replies import Refused, read
from tests.simulation.server.server import Server

type Command = tuple[str | bytes | float, ...]

KEYS, GROUPS, CONSUMERS = ("s", "t"), ("g", "h"), ("a", "b")


def _ids(chance: random.Random) -> str:
    return f"{chance.randrange(1, 12)}-{chance.randrange(2)}"


def _command(chance: random.Random, added: list[int]) -> Command:
    """Some command, such as the engine's scripts use."""
    key, group, consumer = chance.choice(KEYS), chance.choice(GROUPS), chance.choice(CONSUMERS)
    entry, other, few, position = (
        _ids(chance),
        _ids(chance),
        chance.randrange(1, 6),
        chance.choice(["0", "$"]),
    )
    read = ("ENTRIESREAD", chance.randrange(6)) if chance.random() < 0.5 else ()
    idle = ("IDLE", 100_000) if chance.random() < 0.5 else ()
    one = (consumer,) if chance.random() < 0.3 else ()
    added[0] += 1
    claimed: tuple[Command, ...] = (
        (), ("IDLE", 0, "JUSTID"), ("IDLE", 300_000, "RETRYCOUNT", 4, "JUSTID"), ("TIME", 0, "JUSTID"),
        ("FORCE", "RETRYCOUNT", 2), ("FORCE",), ("FORCE", "JUSTID"), ("RETRYCOUNT", 0, "JUSTID"),
    )  # fmt: skip
    commands: list[tuple[int, Command]] = [
        (8, ("XADD", key, f"{added[0] // 4}-{added[0] % 4}", "data", "x", "n", few)),
        (2, ("XGROUP", "CREATE", key, group, position, *read)),
        (4, ("XREADGROUP", "GROUP", group, consumer, "COUNT", few, "STREAMS", key, ">")),
        (1, ("XREADGROUP", "GROUP", group, consumer, "STREAMS", key, entry)),
        (1, ("XACK", key, group, entry, other)),
        (1, ("XDEL", key, entry)),
        (1, ("XTRIM", key, "MINID", entry)),
        (1, ("XTRIM", key, "MAXLEN", few)),
        (1, ("XPENDING", key, group, *idle, chance.choice(["-", f"({entry}", entry]), "+", 3, *one)),
        (1, ("XPENDING", key, group, "-", f"({other}", 9, *one)),
        (1, ("XPENDING", key, group)),
        (3, ("XCLAIM", key, group, consumer, chance.choice([0, 100_000]), entry, *chance.choice(claimed))),
        (1, ("XGROUP", chance.choice(["DELCONSUMER", "CREATECONSUMER"]), key, group, consumer)),
        (1, ("XGROUP", "SETID", key, group, entry, *read)),
        (1, ("XGROUP", "DESTROY", key, group)),
        (2, ("XINFO", "STREAM", key)),
        (2, ("XINFO", "GROUPS", key)),
        (1, ("XINFO", "CONSUMERS", key, group)),
        (1, ("XRANGE", key, "-", f"({entry}", "COUNT", 2)),
        (1, ("XREVRANGE", key, "+", entry, "COUNT", 2)),
        (1, ("XREAD", "COUNT", 2, "STREAMS", key, entry)),
        (1, chance.choice([("SET", "other", "x", "NX"), ("XLEN", "other"), ("DEL", key)])),
    ]
    return chance.choices([one for _, one in commands], [weight for weight, _ in commands])[0]


OTHERS: tuple[Command, ...] = (
    ("SET", "k", "v", "PX", 100_000), ("GET", "k"), ("SET", "k", "w", "KEEPTTL"), ("SET", "k", "x", "NX"),
    ("PERSIST", "k"), ("PERSIST", "k"), ("PEXPIRE", "k", 100_000), ("EXISTS", "k", "none"), ("TYPE", "k"),
    ("PEXPIRE", "k", 50_000, "GT"), ("PEXPIRE", "k", 50_000, "LT"), ("PEXPIRE", "k", 90_000, "NX"),
    ("PERSIST", "k"), ("PEXPIRE", "k", 9_000, "XX"), ("PEXPIRE", "k", 9, "GT"), ("PEXPIRE", "k", 900, "LT"),
    ("PERSIST", "k"), ("PEXPIRE", "k", 90_000, "NX"), ("PEXPIRE", "k", 99_000, "XX"), ("SET", "k", "v", "Q"),
    ("INCR", "n"), ("INCR", "n"), ("TYPE", "none"), ("HSET", "h", "a", 1, "b", 2), ("HGET", "h", "a"),
    ("HMGET", "h", "a", "c"), ("HINCRBY", "h", "a", 4), ("HGETALL", "h"), ("HSETNX", "h", "a", 9),
    ("HEXISTS", "h", "a"), ("HLEN", "h"), ("HKEYS", "h"), ("HDEL", "h", "a", "z"), ("HDEL", "h", "b"),
    ("EXISTS", "h"), ("ZADD", "z", 3, "c", 1.5, "a", 2, "b"), ("ZADD", "z", "NX", 9, "a"),
    ("ZADD", "z", "GT", 1, "b", 7, "c"), ("ZCARD", "z"), ("ZSCORE", "z", "a"), ("ZSCORE", "z", "none"),
    ("ZRANGE", "z", 0, -1), ("ZRANGE", "z", 0, -1, "WITHSCORES"), ("ZRANGE", "z", "-inf", "(7", "BYSCORE"),
    ("ZRANGE", "z", "-inf", "+inf", "BYSCORE", "LIMIT", 1, 1, "WITHSCORES"), ("ZREM", "z", "a", "none"),
    ("GET", "z"), ("XLEN", "z"), ("HGET", "k", "a"), ("PEXPIRE", "k", 0), ("EXISTS", "k"), ("DBSIZE",),
    ("XADD", "cut", "MAXLEN", "=", 2, "1-1", "a", 1), ("XADD", "cut", "MAXLEN", "=", 1, "1-2", "a", 1),
    ("XLEN", "cut"), ("XADD", "none", "NOMKSTREAM", "*", "a", 1), ("SCAN", 0, "TYPE", "stream"),
    ("XGROUP", "CREATE", "new", "g", "$", "MKSTREAM"), ("XINFO", "STREAM", "new"), ("DEL", "new", "none"),
    ("EVALSHA", "0" * 40, 0),
    ("EVAL", "return {1, 'two', {3.9, false, 5}, redis.status_reply('FINE')}", 0),
    ("EVAL", "#!lua flags=allow-oom\nreturn 7", 0),
    ("EVAL", "return {KEYS[1], ARGV[1], #ARGV}", 1, "key", "word", "more"),
    ("EVAL", "return redis.error_reply('STREAMFULL it has 3')", 0),
    ("EVAL", "return redis.pcall('HGET', 'z', 'a')", 0),
    ("EVAL", "return {redis.call('ZADD', 'z', 1, 'q'), redis.call('GET', 'none')}", 0),
    ("EVAL", "redis.call('SET', KEYS[1], 3 * 1.5) return redis.call('GET', KEYS[1])", 1, "number"),
)  # fmt: skip


class Both:
    """A real server and ours."""

    def __init__(self, real: RealServer) -> None:
        client = redis.Redis.from_url(real.url, protocol=2)
        client.flushall()
        client.script_flush()
        self._connection: Any = client.connection_pool.get_connection()
        self._ours = Server(lambda: time.time_ns() // 1000)

    def ask(self, command: Command) -> tuple[Any, Any]:
        """The answers of both."""
        self._connection.send_command(*command)
        try:
            theirs = self._connection.read_response(disable_decoding=True)
        except redis.ResponseError as error:
            theirs = error
        words = [word if isinstance(word, bytes) else str(word).encode() for word in command]
        found: list[Any] = []
        self._ours.call(words, found.append)
        return _plain(theirs, command), _plain(read(found[0]), command)


_UNSTABLE = frozenset({b"radix-tree-keys", b"radix-tree-nodes"})


def _plain(reply: Any, command: Command) -> Any:
    """An answer without what differs for good reasons: how much time went by, and the words after a code."""
    if isinstance(reply, redis.exceptions.NoScriptError):
        return "error NOSCRIPT"
    if isinstance(reply, redis.ResponseError | Refused):
        code = str(reply).split(" ", maxsplit=1)[0]
        return f"error {code}" if code.isupper() and code != "ERR" else "error"  # which redis-py leaves out
    if isinstance(reply, list):
        items = [_plain(item, command) for item in reply]
        if items[:1] == [b"length"]:
            pairs = zip(items[::2], items[1::2], strict=True)
            return {key: value for key, value in pairs if key not in _UNSTABLE}
        if command[0] == "XPENDING" and len(items) == 4 and type(items[2]) is int:
            items[2] = round(items[2] / 50_000)
        if items[4:5] == [b"idle"]:
            items[5] = round(items[5] / 50_000)
        return items
    return bytes(reply) if isinstance(reply, bytes) else reply


@pytest.mark.parametrize("seed", range(40))
def test_streams_answer_as_redis_does(system_server: RealServer, seed: int) -> None:
    both, chance, added, said = Both(system_server), random.Random(seed), [0], list[Command]()
    for _ in range(120):
        command = _command(chance, added)
        said.append(command)
        theirs, ours = both.ask(command)
        assert ours == theirs, f"{command} after {said[:-1]}"


def test_all_other_commands_answer_as_redis_does(system_server: RealServer) -> None:
    both = Both(system_server)
    for command in OTHERS:
        theirs, ours = both.ask(command)
        if command[0] == "SCAN":
            theirs, ours = sorted(theirs[1]), sorted(ours[1])
        if "MAXLEN" not in command:
            assert ours == theirs, command
