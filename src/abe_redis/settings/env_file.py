"""The lines of a file of variables: what they set, and those that set nothing by mistake."""

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

from dotenv.parser import Binding, parse_stream

from abe_redis.errors import SettingsError

_LOG = logging.getLogger(__name__)

_OURS = re.compile(
    r"(?<![\w.])(?:(?:ABE_REDIS|REDIS_STREAM)_[A-Z_]+"
    r"|REDIS_(?:URL|USERNAME|PASSWORD|CREDENTIALS|SENTINEL|SSL|OUTBOX|WAIT|MAX_CONNECTIONS)(?:_[A-Z_]+)?"
    r"|SLACK_(?:EVENTS_TOPIC|SIGNING_SECRET|APP_TOKEN))(?!\w)",
    re.IGNORECASE,
)
_SET_WITHIN = re.compile(rf"(?:{_OURS.pattern})\s*[=:]", re.IGNORECASE)
"""A setting within the value of another variable, as in `X=1;ABE_REDIS_MCP_READ_ONLY=true`."""
_NAME = re.compile(r"[A-Za-z_][\w.]*\Z")

_said = set[str]()


def lines(path: Path, text: str, *, strict: bool) -> Iterator[tuple[str, str]]:
    """What the lines set, in their order.

    A line that sets nothing and names a setting is refused: without it, another Redis would get the events,
    or a limit would limit nothing. Others may be meant for programs that read such files differently.

    Args:
        path: The file, for sentences.
        text: Its content.
        strict: Refuse each line that cannot be read, and settings within the values of other variables.

    Yields:
        Names and values.

    Raises:
        SettingsError: A line is refused. The sentence shows nothing of its value, which may be a secret.
    """
    for line in parse_stream(io.StringIO(text)):
        is_read = line.key is not None and line.value is not None and _NAME.match(line.key)
        if not is_read and (name := _named(line)):
            raise SettingsError(_refusal(path, line, f"names {name} and sets nothing"))
        if strict and line.value and _SET_WITHIN.search(line.value):
            raise SettingsError(_refusal(path, line, f"sets {line.key} to a text that sets another variable"))
        if line.error and strict:
            raise SettingsError(_refusal(path, line, "sets nothing"))
        if line.error:
            _warn_once(_refusal(path, line, "sets nothing"))
        if line.key is not None and line.value is not None:
            yield line.key, line.value


def _named(line: Binding) -> str:
    """The setting that a line names before its value or where it cannot be read; empty when it names none."""
    words = line.original.string if line.error else line.key or ""
    is_comment = words.lstrip().startswith("#")
    found = None if is_comment else _OURS.search(words.replace("-", "_"))
    return found[0] if found else ""


def _refusal(path: Path, line: Binding, what: str) -> str:
    before = line.original.string[: len(line.original.string) - len(line.original.string.lstrip())]
    number = line.original.line + before.count("\n")
    return f"Line {number} of {path} {what}. Write it as NAME=value, with both quotes or none, or remove it."


def _warn_once(sentence: str) -> None:
    if sentence not in _said:
        _said.add(sentence)
        _LOG.warning(sentence)
