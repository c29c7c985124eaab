"""What a command is answered with, and how an answer is written on the wire."""

from collections.abc import Sequence
from typing import Any


class Status(bytes):
    """A status, as in `+OK`."""

    __slots__ = ()


class Refused(Exception):  # noqa: N818 - it is an answer
    """An error, by its text: it begins with its code."""

    @property
    def text(self) -> str:
        """The text."""
        return str(self.args[0])


type Reply = int | bytes | list[Any] | Refused | None
"""An error inside an array is left where it is."""

OK = Status(b"OK")
WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"
SYNTAX = "ERR syntax error"


def encoded(reply: Reply) -> bytes:
    """An answer in RESP2."""
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
    return [word.upper() for word in words]
