"""What a command is answered with, and how an answer is written on the wire."""

from collections.abc import Sequence
from typing import Any

import hiredis


class Status(bytes):
    """A status, as in `+OK`."""

    __slots__ = ()


class Refused(Exception):  # noqa: N818 - it is an answer
    """An error, by its text: it begins with its code."""

    @property
    def text(self) -> str:
        """The text."""
        return str(self.args[0])


class Written:
    """An answer as it goes on the wire."""

    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data


type Reply = int | bytes | list[Any] | Refused | Written | None
"""An error inside an array is left where it is."""

OK = Status(b"OK")
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "ERR syntax error"


def encoded(reply: Reply) -> bytes:
    """An answer in RESP2."""
    if type(reply) is Written:
        return reply.data
    out: list[bytes] = []
    _encode(reply, out)
    return b"".join(out)


def _encode(reply: Any, out: list[bytes]) -> None:
    kind = type(reply)
    if kind is bytes:
        out.append(b"$%d\r\n%b\r\n" % (len(reply), reply))
    elif kind is int:
        out.append(b":%d\r\n" % reply)
    elif kind is list:
        out.append(b"*%d\r\n" % len(reply))
        for item in reply:
            _encode(item, out)
    elif reply is None:
        out.append(b"$-1\r\n")
    elif kind is Status:
        out.append(b"+%b\r\n" % reply)
    elif isinstance(reply, Refused):
        out.append(b"-%b\r\n" % reply.text.encode())
    else:
        raise TypeError(f"{reply!r} is no answer")


def read(reply: Reply) -> Reply:
    """An answer as an object, also when it is written already."""
    if type(reply) is not Written:
        return reply
    reader = hiredis.Reader(replyError=Refused)
    reader.feed(reply.data)
    found: Reply = reader.gets()
    return found


def integer(word: bytes) -> int:
    """A word as an integer.

    Raises:
        Refused: It is none.
    """
    try:
        return int(word)
    except ValueError:
        raise Refused("ERR value is not an integer or out of range") from None


def options(words: Sequence[bytes]) -> list[bytes]:
    """Words in upper case, by which options are told apart."""
    return list(map(bytes.upper, words))
