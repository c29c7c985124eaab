"""JSON as people keep it, with comments and trailing commas, and where in the text everything stands."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

STRING = r'"(?:[^"\\]|\\.)*+"'
LINE_COMMENT, BLOCK_COMMENT = r"//[^\r\n]*", r"/\*.*?\*/"
BREAK = re.compile(r"\r\n|\n|\r")
_COMMENTS = re.compile(rf"{STRING}|(?P<comment>{LINE_COMMENT}|{BLOCK_COMMENT})", re.DOTALL)
_COMMAS = re.compile(rf"(?P<value>{STRING}|[\]}}\w])(?:(?P<blank>\s*),(?=\s*[\]}}]))?", re.DOTALL)


class JsoncError(ValueError):
    """What is wrong with a document, in words that follow its name."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


@dataclass(frozen=True, slots=True)
class JsonMember:
    """One of an object's, and where its name and its value stand."""

    key: str
    key_start: int
    key_end: int
    start: int
    end: int
    value: Any


class Document:
    """A text that holds JSON.

    Args:
        text: The text; one without a value in it is taken for an empty object.

    Raises:
        JsoncError: It is broken.
    """

    def __init__(self, text: str) -> None:
        found = BREAK.search(text)
        self.newline = found[0] if found else "\n"
        if not _without_comments(text).strip():
            text += ("" if not text or text.endswith(("\n", "\r")) else self.newline) + "{}" + self.newline
        self.text = text
        # A place in one of the three is the same in all of them.
        self.uncommented = _without_comments(text)
        self.plain = _COMMAS.sub(
            lambda found: found[0] if found["blank"] is None else f"{found['value']}{found['blank']} ",
            self.uncommented,
        )
        self.root = len(self.plain) - len(self.plain.lstrip())
        try:
            self.value: Any = _DECODER.decode(self.plain)
        except json.JSONDecodeError as error:
            there = json.JSONDecodeError(error.msg, text, error.pos)
            raise JsoncError(f"cannot be read as JSON ({there})") from None
        except RecursionError:
            raise JsoncError("cannot be read as JSON (it is nested too deeply)") from None
        except ValueError as error:
            raise JsoncError(f"cannot be read as JSON ({error})") from None

    def members(self, start: int) -> Iterator[JsonMember]:
        """What is in the object that starts there; nothing when none does."""
        at = start
        while self.plain[at] in "{,":
            at = self._beyond(at + 1)
            if self.plain[at] == "}":
                return
            key, key_end = _DECODER.raw_decode(self.plain, at)
            value_start = self._beyond(self._beyond(key_end) + 1)
            value, end = _DECODER.raw_decode(self.plain, value_start)
            yield JsonMember(key, at, key_end, value_start, end, value)
            at = self._beyond(end)

    def close(self, start: int) -> int:
        """Where the object that starts there has its last brace."""
        return _DECODER.raw_decode(self.plain, start)[1] - 1

    def find(self, path: Sequence[str]) -> list[JsonMember]:
        """The members under these names, one in the other, as far as there are any.

        Raises:
            JsoncError: A name on the way stands there twice, or has no object.
        """
        found: list[JsonMember] = []
        start = self.root
        for key in path:
            if self.plain[start] != "{":
                where = f" under {found[-1].key!r}" if found else ""
                raise JsoncError(f"has no JSON object{where}")
            named = [member for member in self.members(start) if member.key == key]
            if len(named) > 1:
                raise JsoncError(f"has {key!r} more than once in one object")
            if not named:
                break
            found += named
            start = named[0].start
        return found

    def _beyond(self, at: int) -> int:
        """The first place from there on that is not blank."""
        while self.plain[at].isspace():
            at += 1
        return at


def _without_comments(text: str) -> str:
    return _COMMENTS.sub(lambda found: " " * len(found[0]) if found["comment"] else found[0], text)
