"""Questions for the user before a call: how many events it is about, of which groups, and which."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from abe_redis.events import slack
from abe_redis.mcp.changes import kind
from abe_redis.mcp.trust import fact
from abe_redis.operations.caller_limits import Named
from abe_redis.sanitize.untrusted import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from abe_redis.operations.filters import Asked
    from abe_redis.operations.operations import Operations
    from abe_redis.operations.settlement import Concerned

_MOST_NAMED = 5
_WORD = re.compile(r"[A-Za-z0-9_:.-]{1,60}")


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and the events that it is about; an agreement covers no later events."""

    words: str
    events: frozenset[Named]
    doing: str = ""
    """What is done to them; an agreement to something else does not count."""


class Questions:
    """The questions of one server. A call that would change nothing has no question."""

    def __init__(self, operations: "Callable[[], Awaitable[Operations]]") -> None:
        self._operations = operations

    async def before_ack(self, arguments: dict[str, Any]) -> Question | None:
        """Before a call finishes events in a group that workers share."""
        return await self._settling(arguments, "Acknowledge", "They are not delivered again.")

    async def before_release(self, arguments: dict[str, Any]) -> Question | None:
        """Before a call buries events, or postpones some in a group that workers share."""
        why = f" The reason given: {quoted(arguments['reason'])}." if arguments.get("reason") else ""
        if arguments.get("bury"):
            if not why:
                return None  # which is refused
            then = f"They become dead letters.{why}"
            return await self._settling(arguments, "Give up on", then, is_final=True)
        if delay := arguments.get("delay_seconds"):
            return await self._settling(
                arguments, "Postpone", f"They come back after {delay:g} s or more.{why}"
            )
        return None

    async def before_redrive(self, arguments: dict[str, Any]) -> Question | None:
        """Before a call delivers dead letters again."""
        if arguments.get("dry_run", True):
            return None
        chosen, events = (
            {name: arguments[name] for name in names if arguments.get(name)}
            for names in (
                ("ids", "reason", "event_type", "group", "handler", "since", "until"),
                ("channel", "user", "contains"),
            )
        )
        if bool(arguments.get("all")) is bool(chosen or events):
            return None  # which is refused
        operations = await self._operations()
        stream, letters = await operations.redrivable(
            stream=arguments.get("stream"), events=cast("Asked", events), **chosen
        )
        if not letters:
            return None
        groups = Counter(letter.group for letter in letters)
        of_each = ", ".join(
            f"{count} for {_name(group) if group else 'every group'}" for group, count in groups.items()
        )
        which = await _which(operations, [(stream, letter.id) for letter in letters], dead=True)
        return Question(
            f"Deliver dead letters again, {len(letters)} of {_name(stream)}: {of_each}? Handlers run again. "
            f"Which: {which}.",
            frozenset(Named(stream, letter.group or "", letter.id) for letter in letters),
        )

    async def _settling(
        self, arguments: dict[str, Any], doing: str, then: str, *, is_final: bool = False
    ) -> Question | None:
        names = ("stream", "group", "ids", "consumer", "delay_seconds")
        given = {name: arguments[name] for name in names if arguments.get(name) is not None}
        operations = await self._operations()
        concerned = await operations.concerned(**given)
        concerned = [one for one in concerned if one.held and (is_final or one.is_shared)]
        if not concerned:
            return None
        which = await _which(operations, [(one.stream, its) for one in concerned for its in one.held])
        of_each = ", ".join(
            f"{len(one.held)} of {_name(one.stream)}: {len(one.held)} for {_name(one.group)}{_shared(one)}"
            for one in concerned
        )
        events = frozenset(Named(one.stream, one.group, its) for one in concerned for its in one.held)
        return Question(f"{doing} events, {of_each}? {then} Which: {which}.", events, doing)


async def _which(operations: "Operations", events: Sequence[tuple[str, str]], *, dead: bool = False) -> str:
    """The first events by id, kind, channel and user, without a word of people; and how many more."""
    said = list[str]()
    for stream, entry_id in events[:_MOST_NAMED]:
        view = await operations.look_at(stream, entry_id, dead=dead)
        name, channel = kind(view)
        user = fact("user", shown(slack.user_of(view.payload or {})))
        facts = [name, *([f"in {channel}"] if channel else []), *([f"by {user}"] if user else [])]
        said.append(entry_id if facts == ["event"] else f"{entry_id} ({' '.join(facts)})")
    more = len(events) - len(said)
    return ", ".join(said) + (f" and {more:,} more" if more else "")


def _shared(concerned: "Concerned") -> str:
    """Who else has to do with the group: those that are alive, or else the workers that may come back."""
    others = concerned.workers
    alive = [name for name, is_alive in others.items() if is_alive]
    if not others:
        return ", whose workers are away now" if concerned.had_workers else ""
    named = alive or [*others]
    more = f" and {len(named) - _MOST_NAMED} more" if len(named) > _MOST_NAMED else ""
    which = f"({', '.join(map(_name, named[:_MOST_NAMED]))}{more})"
    return f", where others work, too {which}" if alive else f", whose workers are silent now {which}"


def _name(name: str) -> str:
    """A name, in quotes unless it is one word."""
    return name if _WORD.fullmatch(name) else quoted(name)
