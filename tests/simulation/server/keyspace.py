"""Keys, each with a value of some type and perhaps a time to live; and the clock they live by."""

from collections.abc import Callable

from tests.simulation.server.replies import WRONG_TYPE, Refused
from tests.simulation.server.streams import Stream

type Value = bytes | dict[bytes, bytes] | "SortedSet" | Stream


class SortedSet(dict[bytes, float]):
    """Members with their scores."""

    def rows(self) -> list[tuple[float, bytes]]:
        """Scores and members in their order."""
        return sorted((score, member) for member, score in self.items())


KINDS: dict[type, bytes] = {bytes: b"string", dict: b"hash", SortedSet: b"zset", Stream: b"stream"}


class Keyspace:
    """What a server keeps."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        """Keep nothing yet.

        Args:
            now_us: The server's clock, in microseconds since the epoch.
        """
        self.now_us = now_us
        self.values: dict[bytes, Value] = {}
        self.expires: dict[bytes, int] = {}
        """By key, at which millisecond it is gone."""
        self._first_ms = 0
        """Nothing is gone before."""

    def now_ms(self) -> int:
        """The server's clock in milliseconds."""
        return self.now_us() // 1000

    def expire(self) -> None:
        """Let go of what has had its time."""
        now = self.now_us() // 1000
        if now < self._first_ms:
            return
        for key in [key for key, at in self.expires.items() if at <= now]:
            self.drop(key)
        self._first_ms = min(self.expires.values(), default=now)

    def let_expire(self, key: bytes, at_ms: int) -> None:
        """Say at which millisecond a key is gone."""
        self.expires[key] = at_ms
        self._first_ms = min(self._first_ms, at_ms)

    def get[T](self, key: bytes, kind: type[T]) -> T | None:
        """The value at a key, when it is of that type."""
        value = self.values.get(key)
        if value is None:
            return None
        if type(value) is not kind:
            raise Refused(WRONG_TYPE)
        return value

    def put[T: Value](self, key: bytes, value: T) -> T:
        """Set a key to a value."""
        self.values[key] = value
        return value

    def drop(self, key: bytes) -> bool:
        """Delete a key."""
        self.expires.pop(key, None)
        return self.values.pop(key, None) is not None

    def kind(self, key: bytes) -> bytes:
        """The name of the type of what is at a key."""
        value = self.values.get(key)
        return b"none" if value is None else KINDS[type(value)]

    def copy(self, now_us: Callable[[], int]) -> "Keyspace":
        """The same once more, under another clock."""
        copy = Keyspace(now_us)
        copy.expires = dict(self.expires)
        for key, value in self.values.items():
            if isinstance(value, Stream):
                copy.values[key] = value.copy()
            elif isinstance(value, SortedSet):
                copy.values[key] = SortedSet(value)
            else:
                copy.values[key] = value if isinstance(value, bytes) else dict(value)
        return copy
