"""The changes of agents and people, one line each, in our own words and without their reasons."""

from collections.abc import Sequence

from abe_redis.mcp.event_text import when
from abe_redis.sanitize.untrusted import quoted
from abe_redis.schemas import Change

_MOST, _MOST_CHARS, _LONGEST_NAME = 25, 3900, 60
"""Changes, and characters of all of them, in each half of an answer."""
_COUNTED = ("ids", "released", "buried", "redriven")
"""Facts that say which events it was about."""


def changed(changes: Sequence[Change]) -> list[str]:
    """A headline, then the changes, the newest first."""
    lines, left = list[str](), _MOST_CHARS
    for one in changes[:_MOST]:
        line = _line(one)
        left -= len(line) + 5
        if left < 0:
            break
        lines.append(line)
    more = f", of the last {len(changes)}" if len(changes) > len(lines) else ""
    return [
        f"{len(lines)} changes{more}, the newest first." if lines else "Nobody has changed anything here.",
        *lines,
    ]


def _line(one: Change) -> str:
    """As in `2026-01-31 09:00:00 UTC: release by "mcp-a-1" in group "bot" of "slack_events", 3 events`."""
    facts = one.facts
    by = f" by {_name(one.who)}" if one.who else ""
    person = f" for {_name(str(facts['person']))}" if facts.get("person") else ""
    group = f" in group {_name(str(facts['group']))}" if facts.get("group") else ""
    counts = [
        f"{number} {'event' + 's' * (number != 1) if name == 'ids' else name}"
        for name in _COUNTED
        if (number := _number(facts.get(name)) + _number(facts.get(f"more {name}")))
    ]
    counts += ["made the group"] * bool(facts.get("created_group"))
    told = ", ".join([f"{_name(one.what)}{by}{person}{group} of {_name(str(facts.get('stream')))}", *counts])
    return f"{when(one.at)}: {told}"


def _number(found: object) -> int:
    """How many; records have the ids, or their number."""
    if isinstance(found, list):
        return len(found)
    return found if isinstance(found, int) else 0


def _name(name: str) -> str:
    return quoted(name, most=_LONGEST_NAME)
