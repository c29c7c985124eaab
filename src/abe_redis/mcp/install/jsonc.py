"""JSON with comments and trailing commas, and the position of everything in the text."""

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
    """A fault of a document, as words that follow its name."""


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


@dataclass(frozen=True, slots=True)
class JsonMember:
    """A member of an object, with the positions of its name and its value."""

    key: str
    key_start: int
    key_end: int
    start: int
    end: int
    value: Any


class Document:
    """A text that holds JSON.

    Args:
        text: The text; without a value in it, it counts as an empty object.

    Raises:
        JsoncError: The text is not valid.
    """

    def __init__(self, text: str) -> None:
        found = BREAK.search(text)
        self.newline = found[0] if found else "\n"
        if not _without_comments(text).strip():
            text += ("" if not text or text.endswith(("\n", "\r")) else self.newline) + "{}" + self.newline
        self.text = text
        # Positions are the same in all three texts.
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
        """The members of the object that starts there; none if there is no object."""
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
        """The position of the closing brace of the object that starts there."""
        return _DECODER.raw_decode(self.plain, start)[1] - 1

    def find(self, path: Sequence[str]) -> list[JsonMember]:
        """The members along this path of names, as far as they exist.

        Raises:
            JsoncError: A name on the path appears twice, or its value is no object.
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
        """The first position from there on that is not blank."""
        while self.plain[at].isspace():
            at += 1
        return at


def _without_comments(text: str) -> str:
    return _COMMENTS.sub(lambda found: " " * len(found[0]) if found["comment"] else found[0], text)
