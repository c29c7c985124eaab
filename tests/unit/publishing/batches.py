"""A server for batches of events that answers when it is told to."""

from dataclasses import dataclass, field

import pytest

from abe_redis.client.calls import Promise, Words
from abe_redis.publishing.batcher import Batcher
from abe_redis.streams import seen
from abe_redis.streams.publish import Draft

STATE = b"9 3 0 0 1"
"""The state of a stream: at level 3, and with keys of earlier versions; so the calls stay in full."""


@dataclass
class Server:
    """Keeps what is sent until it is told what to answer."""

    sent: list[tuple[Words, Promise]] = field(default_factory=list)
    error: Exception | None = None
    is_cluster: bool = False

    def send(self, words: Words, promise: Promise) -> None:
        if self.error is not None:
            raise self.error
        self.sent.append((words, promise))

    def slot(self, key: str) -> int:
        return ord(key[0]) if self.is_cluster else 0

    def events(self, number: int) -> list[bytes]:
        """The payloads in a command."""
        words = self.sent[number][0]
        return [words[at + 1] for at, word in enumerate(words) if word == b"data"]  # type: ignore[misc]

    def answer(self, number: int, *rows: bytes | Exception, said: bytes = STATE) -> None:
        left = list(rows)
        rows = ()
        for count in runs(self.sent[number][0]):
            rows = (*rows, b"?10" if b"?" in left[:count] else b"10 " + said, *left[:count])
            del left[:count]
        refused = any(isinstance(row, Exception) for row in rows)
        self.sent[number][1].set_result(list(rows) if refused else b"\n".join(rows))  # type: ignore[arg-type]

    def refuse(self, number: int, error: Exception) -> None:
        self.sent[number][1].set_exception(error)


def draft(number: int = 1, *, stream: str = "s", data: bytes | None = None) -> Draft:
    return Draft(stream, {b"data": data or b"%d" % number}, f"event:{number}", f"attempt {number}", 60)


def row(number: int, *, duplicate: bool = False) -> bytes:
    return b"%s%d-0" % (b"!" if duplicate else b"", number)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def batcher(server: Server) -> Batcher:
    return Batcher(server, seen.Views(), hard_maxlen=1000, answer_seconds=60)


def runs(words: Words) -> list[int]:
    """The number of events in each run of a command."""
    keys, found = int(words[2]), list[int]()
    left = list(words[3 + keys + 1 :])
    while left:
        count, _, _, _, _, is_mention = left[:6]
        found.append(int(count))
        del left[:6]
        for _ in range(int(count)):
            words_before_fields = 4 if is_mention else 3
            del left[: words_before_fields + int(left[words_before_fields - 1])]
    return found
