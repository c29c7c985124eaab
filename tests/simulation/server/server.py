"""Commands in the order in which they arrive, each as one step; and reads that wait for news."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

from tests.simulation.server.commands import COMMANDS
from tests.simulation.server.keyspace import Keyspace
from tests.simulation.server.replies import Refused, Reply, integer, options
from tests.simulation.server.scripts import Scripts
from tests.simulation.server.streams import Stream

_SCRIPTS = Scripts()

_NEVER = float("inf")
READING = frozenset({b"XREADGROUP", b"XREAD"})


class UnknownCommandError(Exception):
    """The engine uses a command that is not modelled: add it, and a comparison with a server."""


@dataclass(eq=False)
class Waiter:
    """A read that waits for news."""

    words: list[bytes]
    answer: Callable[[Reply], None]
    until_ms: float
    had: frozenset[bytes]
    """Which of its keys were streams with the group when it began."""


class Server:
    """A server."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        """Start one.

        Args:
            now_us: Its clock, in microseconds since the epoch.
        """
        self.db = Keyspace(now_us)
        self.refuses: str | None = None
        """What writes are refused with for the time being, as by a server that has no memory left."""
        self._sources: dict[bytes, bytes] = {}
        self._waiting: list[Waiter] = []
        self.next_ms = _NEVER
        """By the server's clock, when the next read is over that waits."""
        self._is_news = False
        """Whether there may be something for those who wait."""
        self.heard: Callable[[list[bytes]], None] | None = None
        """Is told of each command about streams and groups that a client sent, or that a script called."""
        self.commands = 0
        """How many commands it executed."""

    def learn(self, sources: dict[bytes, bytes]) -> None:
        """Know scripts by their digests, as a server does that others have used before."""
        self._sources |= sources

    def call(self, words: list[bytes], answer: Callable[[Reply], None]) -> Waiter | None:
        """Execute what a client sends, and answer at once or when there is news.

        Returns:
            What waits, if it does.
        """
        self.db.expire()
        reply = self.execute(words)
        waiter = None
        if reply is None and words[0].upper() in READING and (block := _block_ms(words)) is not None:
            until = self.db.now_ms() + block if block else _NEVER
            waiter = Waiter(words, answer, until, self._streams_of(words))
            self._waiting.append(waiter)
            self.next_ms = min(self.next_ms, until)
        else:
            answer(reply)
        self.serve()
        return waiter

    def execute(self, words: list[bytes]) -> Reply:
        """Execute a command; a read does not wait."""
        name = words[0].upper()
        try:
            if name == b"EVALSHA":
                source = self._sources.get(words[1])
                if source is None:
                    return Refused("NOSCRIPT No matching script. Please use EVAL.")
                return self._run(source, words)
            if name == b"EVAL":
                self._sources[hashlib.sha1(words[1]).hexdigest().encode()] = words[1]  # noqa: S324
                return self._run(words[1], words)
            if name == b"SCRIPT":
                self._sources.clear()
                return None
            return self._one(words)
        except Refused as refused:
            return refused

    def _run(self, source: bytes, words: list[bytes]) -> Reply:
        count, refuses = integer(words[2]), self.refuses
        if refuses is None:
            return _SCRIPTS.run(source, count, words[3:], self._one)
        first, _, _ = source.partition(b"\n")
        try:
            if first.startswith(b"#!") and b"allow-oom" in first:
                self.refuses = None
            return _SCRIPTS.run(source, count, words[3:], self._one)
        finally:
            self.refuses = refuses

    def _one(self, words: list[bytes]) -> Reply:
        name = words[0]
        command = _PLAIN.get(name)
        if command is not None:
            reply = command(self.db, words[1:])
            self.commands += 1
            return reply
        command = COMMANDS.get(name)
        if command is None:
            name = name.upper()
            command = COMMANDS.get(name)
        if command is None:
            raise UnknownCommandError(name.decode())
        if self.refuses is not None and name in WRITES:
            raise Refused(self.refuses)
        reply = command(self.db, words[1:])
        self.commands += 1
        if name in NEWS:
            self._is_news = True
        if name in _HEARD and self.heard is not None:
            self.heard(words)
        return reply

    def forget(self, waiter: Waiter) -> None:
        """The client of a read that waits is gone."""
        if waiter in self._waiting:
            self._end(waiter)

    def serve(self) -> None:
        """Answer the reads for which there is news, or whose time is up."""
        if not self._waiting:
            return
        now, is_news = self.db.now_us() // 1000, self._is_news
        if not is_news and now < self.next_ms:
            return
        self._is_news = False
        for waiter in list(self._waiting):
            if not is_news and now < waiter.until_ms:
                continue
            reply = self._gone(waiter) or self.execute(waiter.words)
            if reply is not None or now >= waiter.until_ms:
                self._end(waiter)
                waiter.answer(reply)

    def _end(self, waiter: Waiter) -> None:
        self._waiting.remove(waiter)
        self.next_ms = min([one.until_ms for one in self._waiting], default=_NEVER)

    def _streams_of(self, words: list[bytes]) -> frozenset[bytes]:
        upper = options(words)
        rest = words[upper.index(b"STREAMS") + 1 :]
        return frozenset(key for key in rest[: len(rest) // 2] if isinstance(self.db.values.get(key), Stream))

    def _gone(self, waiter: Waiter) -> Reply:
        """What a group's read ends with when its stream or group is no more."""
        if waiter.words[0].upper() != b"XREADGROUP":
            return None
        group = waiter.words[2]
        for key in waiter.had:
            stream = self.db.values.get(key)
            if not isinstance(stream, Stream):
                return Refused("UNBLOCKED the stream key no longer exists")
            if group not in stream.groups:
                return Refused("NOGROUP the consumer group this client was blocked on no longer exists")
        return None

    def copy(self, now_us: Callable[[], int]) -> "Server":
        """The same once more, without those who wait."""
        copy = Server(now_us)
        copy.db = self.db.copy(now_us)
        copy._sources = self._sources
        return copy


WRITES = frozenset(
    b"XADD XDEL XTRIM XACK XGROUP XREADGROUP XCLAIM SET INCR HSET HSETNX HDEL HINCRBY ZADD ZREM DEL UNLINK "
    b"PEXPIRE EXPIRE PERSIST".split()
)


NEWS = frozenset({b"XADD", b"XGROUP", b"DEL", b"UNLINK", b"SET", b"FLUSHALL"})
"""What may end the wait of a read."""
_HEARD = frozenset({b"XADD", b"XGROUP", b"XREADGROUP"})
_PLAIN = {name: command for name, command in COMMANDS.items() if name not in WRITES | NEWS | _HEARD}
"""Commands after which there is nothing to do."""


def _block_ms(words: list[bytes]) -> int | None:
    upper = options(words)
    before = upper[: upper.index(b"STREAMS")]
    return integer(words[before.index(b"BLOCK") + 1]) if b"BLOCK" in before else None
