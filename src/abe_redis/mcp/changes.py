"""A line for a subscriber: what changed between two looks at a stream, a group or the whole queue.

It contains no text that people wrote. For an event it names the kind, if Slack has that kind, and the
channel, if that has the form of an id.
"""

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from urllib.parse import unquote

from abe_redis.events import kinds, slack
from abe_redis.mcp.trust import fact
from abe_redis.runtime import plurals
from abe_redis.sanitize.untrusted import quoted, shown
from abe_redis.schemas import EventView, GroupStats, StreamStats

SCHEME = "abe-redis://"
OVERVIEW = f"{SCHEME}overview"
_STREAMS = f"{SCHEME}streams/"

MOST_NEW = 100
"""Most new events of which the kinds are counted."""
_MOST_CHARS, _MOST_NAMED, _LONGEST_NAME = 400, 3, 80

type Newest = Callable[[str, int], Awaitable[list[EventView]]]
"""Returns the newest events of a stream."""


@dataclass(frozen=True, slots=True)
class Followed:
    """The subject of a subscription: a group, a stream, or, without a stream, the whole queue."""

    stream: str | None = None
    group: str | None = None

    @classmethod
    def by(cls, uri: str) -> "Followed | None":
        """The subject that a URI names; None if it never changes, such as an event or a page."""
        if uri == OVERVIEW:
            return cls()
        parts = uri.removeprefix(_STREAMS).split("/")
        match [unquote(part) for part in parts] if uri.startswith(_STREAMS) else []:
            case [str(stream)]:
                return cls(stream)
            case [str(stream), "groups", str(group)]:
                return cls(stream, group)
        return None

    def state(self, found: Sequence[StreamStats]) -> object:
        """The parts of a state whose change is worth a notification; ages change all the time."""
        if self.group is None:
            return [_stream_state(one) for one in found]
        return [(one.added, [_group_state(group) for group in self._groups([one])]) for one in found]

    def _groups(self, found: Sequence[StreamStats]) -> list[GroupStats]:
        return [group for one in found for group in one.groups if group.name == self.group]

    async def line(self, before: Sequence[StreamStats], now: Sequence[StreamStats], newest: Newest) -> str:
        """The changes, as in `3 new mentions in C1; group "bot": 3 not delivered (was 0)`."""
        old = {one.stream: one for one in before}
        if self.stream is None:
            changed = [
                one
                for one in now
                if one.stream not in old or _stream_state(old[one.stream]) != _stream_state(one)
            ]
            parts = [
                f"{_name(one.stream)}: {', '.join(_stream_line(old.get(one.stream), one)) or 'changed'}"
                for one in changed[:_MOST_NAMED]
            ]
            parts += [f"{_name(name)}: gone" for name in old.keys() - {one.stream for one in now}][:1]
            if more := len(changed) - _MOST_NAMED:
                parts += [f"{more} streams more"] * (more > 0)
        elif not now:
            parts = ["the stream is gone"]
        else:
            (there,) = now
            was = old.get(there.stream)
            parts = await _new(was, there, newest)
            if self.group is None:
                parts += _stream_line(was, there)[bool(parts) :]
            else:
                parts += _group_line(
                    next(iter(self._groups(before)), None), next(iter(self._groups(now)), None)
                )
        line = "; ".join(parts) or "changed"
        return line if len(line) <= _MOST_CHARS else f"{line[:_MOST_CHARS]}…"


def _stream_state(one: StreamStats) -> object:
    groups = [_group_state(group) for group in one.groups]
    return one.stream, one.length, one.added, one.dead_letters, one.health, groups


def _group_state(group: GroupStats) -> object:
    return group.name, group.pending, group.lag, group.last_delivered_id, group.paused, group.lost


def _added(before: StreamStats | None, now: StreamStats) -> int:
    """How many events came."""
    if before is None:
        return now.length if now.added is None else now.added
    if now.added is None or before.added is None:
        return max(0, now.length - before.length)
    return max(0, now.added - before.added)


async def _new(before: StreamStats | None, now: StreamStats, newest: Newest) -> list[str]:
    """The events that came, by kind and channel: the most first."""
    if not (count := _added(before, now)):
        return []
    views = await newest(now.stream, min(count, MOST_NEW))
    found = Counter(map(kind, views)).most_common()
    parts = [_counted(number, *kind) for kind, number in found[:_MOST_NAMED]]
    if others := sum(number for _, number in found[_MOST_NAMED:]):
        parts.append(f"{others} new of other kinds")
    words = ", ".join(parts)
    if count > len(views):  # trimmed since, or more than are counted
        return [
            f"{_counted(count, 'event', None)}" + (f", of the newest {len(views)}: {words}" if words else "")
        ]
    return [words]


def kind(view: EventView) -> tuple[str, str | None]:
    """The usual name of its kind, and where it happened."""
    payload = view.payload or {}
    match kinds.kind_of(payload):
        case kinds.Kind(family="message"):  # of whatever subtype, which may be any word
            name = "message"
        case kinds.Kind(name="app_mention"):
            name = "mention"
        case kinds.Kind(family="other"):
            name = "event"
        case kinds.Kind(name=known):
            name = f"{known} event"
    return name, fact("channel", shown(slack.channel_of(payload)))


def _counted(number: int, name: str, channel: str | None) -> str:
    return f"{number:,} new {name}{'s' * (number != 1)}{f' in {channel}' if channel else ''}"


def _stream_line(before: StreamStats | None, now: StreamStats) -> list[str]:
    """The other changes of a stream; first of all how many events came."""
    parts = []
    count = _added(before, now)
    if count:
        parts.append(_counted(count, "event", None))
    if before is None:
        return [*parts, "the stream is new"]
    if now.dead_letters != before.dead_letters:
        parts.append(f"dead letters: {now.dead_letters:,} (was {before.dead_letters:,})")
    old = {group.name: group for group in before.groups}
    new = {group.name: group for group in now.groups}
    changed = [
        f"group {_name(name)}: {', '.join(said)}"
        for name in {**new, **old}
        if (said := _group_line(old.get(name), new.get(name)))
    ]
    parts += changed[:_MOST_NAMED]
    if (more := len(changed) - _MOST_NAMED) > 0:
        parts.append(f"{plurals.count(more, 'group')} more")
    if now.health != before.health:
        parts.append(f"{now.health} (was {before.health})")
    if not parts and now.length < before.length:
        parts.append(f"{before.length - now.length:,} trimmed or removed")
    return parts


def _group_line(before: GroupStats | None, now: GroupStats | None) -> list[str]:
    """The changes of a group."""
    if before is None or now is None:
        return ["made"] if now else ["removed"] * (before is not None)
    parts = []
    if now.pending != before.pending:
        parts.append(_was("pending", before.pending, now.pending))
    if now.lag != before.lag:
        parts.append(_was("not delivered", before.lag, now.lag))
    if now.paused != before.paused:
        parts.append("paused" if now.paused else "no longer paused")
    if now.lost > before.lost:
        parts.append(f"{now.lost - before.lost:,} lost")
    if not parts and now.last_delivered_id != before.last_delivered_id:
        parts.append(f"delivered as far as {now.last_delivered_id}")
    return parts


def _was(what: str, before: int | None, now: int | None) -> str:
    return f"{'?' if now is None else f'{now:,}'} {what} (was {'?' if before is None else f'{before:,}'})"


def _name(name: str) -> str:
    return quoted(name, most=_LONGEST_NAME)
