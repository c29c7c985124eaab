"""What an agent sees of an answer: its text, or its structure, read into the same rows."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol


@dataclass(slots=True)
class Row:
    """An event, as far as the tasks need it."""

    id: str
    words: str | None = None
    holder: str | None = None
    reason: str | None = None
    payload: dict[str, Any] | None = None


@dataclass(slots=True)
class Seen:
    """What was understood of an answer."""

    said: str
    """The half of the answer that was read."""
    rows: list[Row] = field(default_factory=list)
    states: dict[str, str] = field(default_factory=dict)
    """How far each group is with an event."""
    counts: dict[str, int] = field(default_factory=dict)
    health: dict[str, str] = field(default_factory=dict)
    """By stream; the worst first."""


class Reader(Protocol):
    """Reads one half of an answer."""

    def read(self, answer: Mapping[str, Any]) -> Seen:
        """What it says."""


_LINE = re.compile(r"- (?P<id>\d+-\d+), (?P<facts>[^:]*\d\d:\d\d:\d\d UTC[^:]*): (?P<rest>.*)")
_JSON = r'"(?:[^"\\]|\\.)*"'
_STATES = {
    "done": "done",
    "held": "held",
    "given up": "buried",
    "postponed": "postponed",
    "given back": "waiting",
    "free": "waiting",
}


class TextReader:
    """Reads the text alone."""

    def read(self, answer: Mapping[str, Any]) -> Seen:
        (content,) = answer["content"]
        seen = Seen(content["text"])
        for line in seen.said.split("\n"):
            if match := _LINE.fullmatch(line):
                seen.rows.append(self._row(match))
            elif line.startswith("  {"):
                seen.rows[-1].payload = json.loads(line)
            elif match := re.fullmatch(rf"Group ({_JSON}): (.*)", line):
                found = [state for words, state in _STATES.items() if match[2].startswith(words)]
                seen.states[json.loads(match[1])] = (found or ["undelivered"])[0]
            elif match := re.fullmatch(rf"- ([\d,]+): ({_JSON}) \(newest \S+\)", line):
                seen.counts[json.loads(match[2])] = int(match[1].replace(",", ""))
            elif match := re.match(rf"({_JSON}): (\w+), ", line):
                seen.health[json.loads(match[1])] = match[2]
        return seen

    def _row(self, match: re.Match[str]) -> Row:
        held = re.search(rf"held by (you|{_JSON}) for", match["facts"] + match["rest"])
        rest, _, reason = match["rest"].partition("; given up on: ")
        words = re.search(rf": ({_JSON})( \([^()]*\))?$", rest)
        return Row(
            id=match["id"],
            words=json.loads(words[1]) if words else None,
            holder=None if held is None else held[1].strip('"'),
            reason=json.loads(reason) if reason else None,
        )


class StructureReader:
    """Reads the structure alone."""

    def read(self, answer: Mapping[str, Any]) -> Seen:
        found = answer["structuredContent"]
        return Seen(
            json.dumps(found, ensure_ascii=False),
            rows=[
                Row(
                    id=one["id"],
                    words=one.get("untrusted_text"),
                    holder="you" if one.get("yours") else one.get("holder"),
                    reason=one.get("untrusted_reason"),
                    payload=one.get("untrusted_payload"),
                )
                for one in found.get("events", ())
            ],
            states={one["group"]: one["state"] for one in found.get("handled", ())},
            counts={one["untrusted_value"]: one["count"] for one in found.get("rows", ())},
            health={one["stream"]: one["health"] for one in found.get("streams", ())},
        )
