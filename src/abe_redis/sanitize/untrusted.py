"""Untrusted text made fit for a model: no hidden characters, no secrets, no line of its own.

Anyone who may write in a Slack channel writes to the model that reads the queue. `text` fences their words,
and the schemas label them. This module makes deceptive characters visible (invisible ones, and those that
change the direction of writing), and replaces secrets by ***.
"""

import json
import re
from collections import Counter
from typing import Any

from pydantic import BaseModel

from abe_redis.sanitize.invisible import all_seen, is_seen
from abe_redis.sanitize.joining import joining_in
from abe_redis.sanitize.read_together import Spans, asks_for_secret, secrets_of
from abe_redis.sanitize.secret_names import NAMES_A_NAME, NAMES_A_VALUE, is_pair, is_secret_number
from abe_redis.sanitize.secrets import MASKED, is_about_secret, is_secret, mask

_BREAKS = re.compile("[\n\r\t]")


def shown(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """JSON with every string and every name masked and cleaned."""
    if isinstance(value, str):
        return clean(mask(value))
    return _Shown(*secrets_of(value)).of(value) if isinstance(value, list | dict) else value


_LEAST_OF_FLAT = 4
"""Strings of a list in which names and values alternate, as Node.js lists headers."""


class _Shown:
    """One payload as it is shown."""

    def __init__(self, found: Spans, asked: frozenset[str]) -> None:
        self._found = found
        """The secrets in its texts that neighbouring texts reveal."""
        self._asked = asked
        """Ids of the inputs that ask for a secret."""

    def of(self, value: Any, *, is_asked: bool = False) -> Any:  # noqa: ANN401 - any JSON
        """A part of it.

        Args:
            value: The part.
            is_asked: Whether it belongs to an input that asks for a secret.
        """
        if isinstance(value, str):
            return clean(mask(value))
        if isinstance(value, list):
            match value:
                case [str(name), str(item)] if is_pair(name, item):  # as HTTP's headers are listed
                    return [shown(name), MASKED]
            flat = (
                len(value) >= _LEAST_OF_FLAT
                and len(value) % 2 == 0
                and all(isinstance(one, str) for one in value)
            )
            return [
                MASKED
                if flat and at % 2 and is_pair(value[at - 1], item)
                else self.of(item, is_asked=is_asked)
                for at, item in enumerate(value)
            ]
        if isinstance(value, dict):
            return self._object(value, is_asked=is_asked)
        return value

    def _object(self, value: dict[str, Any], *, is_asked: bool) -> dict[str, Any]:
        is_asked = is_asked or asks_for_secret(value)
        named = is_asked or any(
            isinstance(item, str) and key.lower() in NAMES_A_NAME and is_secret(item)
            for key, item in value.items()
        )
        return {
            shown(name): MASKED
            if (_could_tell(item) and named and name.lower() in NAMES_A_VALUE) or _is_secret(name, item)
            else self._field(value, name, is_asked=is_asked)
            for name, item in value.items()
        }

    def _field(self, value: dict[str, Any], name: str, *, is_asked: bool) -> Any:  # noqa: ANN401 - any JSON
        item = value[name]
        if isinstance(item, str):
            return clean(mask(item, self._found.get((id(value), name), ())))
        if isinstance(item, dict) and not is_asked:
            is_asked = name in self._asked or is_about_secret(name)
        return self.of(item, is_asked=is_asked)


def _could_tell(value: object) -> bool:
    """Whether a value can hold a secret by its type."""
    return isinstance(value, str | list | dict) and bool(value)


def _is_secret(name: str, value: object) -> bool:
    """Whether a value's name says that it is a secret. A number may be a password, or a count of tokens."""
    if isinstance(value, int) and not isinstance(value, bool):
        return is_secret(name) and is_secret_number(name, str(abs(value)))
    return _could_tell(value) and is_secret(name)


def safe[Result: BaseModel](result: Result) -> Result:
    """A result with its untrusted text made fit for a model."""
    dumped = result.model_dump()
    counts = {field: _counts(value) for field, value in dumped.items() if _is_of_counts(value)}
    return type(result).model_validate(shown(dumped) | counts)


def _is_of_counts(value: object) -> bool:
    """Whether a field of a result counts by name, as in `{"bot": 12}`: what it counts is no secret."""
    return isinstance(value, dict) and bool(value) and all(type(item) is int for item in value.values())


def _counts(counted: dict[str, int]) -> dict[str, int]:
    """Counts by names that are made fit; those of names that look the same are added."""
    found: Counter[str] = Counter()
    for name, count in counted.items():
        found[shown(name)] += count
    return dict(found)


def clean(text: str) -> str:
    """The text with invisible characters made visible, as in `[U+202E]`.

    Line breaks and tabs stay, and so does what joins an emoji or the letters of a script that joins them.
    """
    if all_seen(text):
        return text
    joining = joining_in(text)
    return "".join(
        [char if is_seen(char) or at in joining else f"[U+{ord(char):04X}]" for at, char in enumerate(text)]
    )


def line(text: str) -> str:
    """As `clean`, on one line: line breaks and tabs are shown, too."""
    return _BREAKS.sub(lambda match: f"[U+{ord(match[0]):04X}]", clean(text))


_AS_WRITTEN = str.maketrans({"\n": "\\n", "\r": "\\r", "\t": "\\t"})


def one_line(text: str) -> str:
    """A finished line for a log: secrets masked, and whatever is not printed shown as an escape."""
    return clean(mask(text)).translate(_AS_WRITTEN)


def lines(text: str) -> str:
    """As `clean`, for output of several lines: only line feeds and tabs stay, a carriage return does not."""
    return clean(text).replace("\r", "[U+000D]")


def ascii_json(value: Any, *, indent: int | None = None) -> str:  # noqa: ANN401 - any JSON
    """JSON that is safe on any terminal and in any log: printable ASCII, the rest as escapes of JSON."""
    return json.dumps(value, indent=indent, default=str).replace("\x7f", "\\u007f")


def quoted(name: str, *, most: int = 100) -> str:
    """An untrusted name within our own text: in quotes, on one line, and shortened."""
    said = shown(name)
    if len(said) > most:
        said = f"{said[:most]}…"
    return json.dumps(said, ensure_ascii=False)
