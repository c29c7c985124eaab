"""Text in and out: UTF-8 in, whatever the console's code page is; out, whatever the console can show."""

import io
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer

from abe_redis.errors import PayloadError

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")


def from_stdin() -> str:
    """All of stdin, as UTF-8 with or without a byte order mark.

    Raises:
        PayloadError: It is not UTF-8.
    """
    return decoded(sys.stdin.buffer.read(), "stdin")


def decoded(data: bytes, source: str) -> str:
    """Bytes as text.

    Args:
        data: The bytes, in UTF-8 with or without a byte order mark.
        source: Where they come from, for the error.

    Raises:
        PayloadError: They are not UTF-8.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = f" It {like}." if (like := like_utf_16(data)) else ""
        raise PayloadError(
            f"What comes from {source} is not UTF-8 (byte {error.start} is 0x{data[error.start]:02x}); "
            f"nothing was published.{hint} Convert it to UTF-8 first."
        ) from None


def like_utf_16(data: bytes) -> str:
    """Words about bytes that begin as UTF-16 does; else none."""
    return "looks like UTF-16, as PowerShell writes it" if data.startswith(_UTF_16) else ""


def checked(argument: str) -> str:
    """An argument of the command line.

    Raises:
        PayloadError: Its bytes are not UTF-8.
    """
    # Python keeps bytes that it cannot decode as lone surrogates of this range.
    if any("\udc80" <= character <= "\udcff" for character in argument):
        return decoded(argument.encode("utf-8", "surrogateescape"), "the command line")
    return argument


def json_object(text: str) -> dict[str, Any]:
    """The JSON object that a text holds.

    Raises:
        ValueError: It holds none; the message says why, as the end of a sentence.
    """
    if not text.strip():
        raise ValueError("it is empty")
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        why = error.msg[:1].lower() + error.msg[1:].removesuffix(" at")
        raise ValueError(f"{why} at line {error.lineno}, column {error.colno}") from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        if "digits" in str(error):  # how Python refuses to read it
            raise ValueError("it has a whole number of several thousand digits") from None
        raise
    if not isinstance(value, dict):
        raise ValueError(f"it is {_KINDS[type(value)]}")  # noqa: TRY004 - of the text, not of a caller's argument
    return value


_KINDS = {
    list: "an array",
    str: "a text in quotes",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"JSON has no number {name}")


def never_fail() -> None:
    """Show as an escape, from now on, what the console's encoding cannot show; end well when nobody reads."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            setattr(sys, name, _Pipe(stream, ends=name == "stdout"))


class _Pipe:
    """An output that whoever reads it may close, as `head` does when it has enough.

    Then stdout ends the command with 0, which is what it ends with when all was written just before; without
    stderr it goes on.
    """

    def __init__(self, stream: io.TextIOWrapper, *, ends: bool) -> None:
        self._stream, self._ends = stream, ends

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever a stream has
        return getattr(self._stream, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._stream)

    def write(self, text: str) -> int:
        with self._closable():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._closable():
            self._stream.flush()

    @contextmanager
    def _closable(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._stream.fileno())  # what is left in the buffer goes there
            os.close(nowhere)
            if self._ends:
                raise typer.Exit from None
