"""Events as a model sees them; the fields with people's words have names of their own."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import anyio
from pydantic import BaseModel, Field

from abe_redis.events import kinds, slack
from abe_redis.mcp.trust import Trust, fact
from abe_redis.operations.event_line import summarise
from abe_redis.operations.event_views import CUT, compact, shorten
from abe_redis.sanitize.secrets import MASKED, cut
from abe_redis.sanitize.untrusted import safe, shown
from abe_redis.schemas import Counted, CountResult, EventView, GroupBrief, GroupState, ReadResult
from abe_redis.streams import names

type Payload = Literal["none", "event", "whole"]
"""The detail that is shown beside an event's line: nothing, the Slack event, or the whole envelope."""

_MOST_OF_A_FIELD = 200
"""Characters of any field but an event's text."""


class AgentEvent(BaseModel):
    """An event. People in Slack wrote what stands in the fields whose names begin with `untrusted_`."""

    id: str
    at: datetime
    stream: str | None = None
    group: str | None = None
    untrusted_summary: str = ""
    untrusted_type: str | None = None
    untrusted_channel: str | None = None
    untrusted_user: str | None = None
    untrusted_thread: str | None = None
    untrusted_event_id: str | None = None
    untrusted_text: str | None = None
    untrusted_payload: dict[str, Any] | None = None
    untrusted_reason: str | None = None
    """Why the group gave up on it (for a dead letter), or postponed it."""
    untrusted_place: str | None = None
    """For a dead letter: the place in the code at which it failed, as the traceback says."""
    state: str | None = None
    """How far the group is with it, where that is asked for."""
    waited_seconds: float | None = None
    deliveries: int | None = None
    holder: str | None = None
    held_seconds: float | None = None
    left_by: str | None = None
    """The consumer that had it and has ended without giving it back."""
    had_by: str | None = None
    """The consumer that had it and whose lease is over."""
    free_at: datetime | None = None
    """Then, the end of that lease, if it is known."""
    yours: bool = False
    due_at: datetime | None = None
    first_id: str | None = None
    """For a dead letter: the id that it had in its stream."""
    handler: str | None = None
    """For a dead letter: the handler that failed, if a worker buried it."""
    masked: bool = False
    """Whether a secret in it is masked."""
    truncated: bool = False
    withheld: str | None = None
    """The part that is withheld, and why."""


class AgentRead(BaseModel):
    """The answer to a read."""

    stream: str
    dead: bool = False
    """Whether these are the stream's dead letters."""
    mode: Literal["peek", "lease", "pending", "waiting"]
    length: int = 0
    group: str | None = Field(default=None, exclude=True)
    """The group whose events these are, if it is one."""
    groups: list[GroupBrief] = []
    paused: bool = False
    """Whether that group is paused."""
    events: list[AgentEvent]
    handled: list[GroupState] = []
    next_start: str | None = None
    lease_seconds: float | None = None
    note: str = ""
    brief: bool = Field(default=False, exclude=True)
    """Whether there is no room for hints about what to do next."""


class AgentCountRow(BaseModel):
    """How many events have something in common."""

    untrusted_value: str = Field(description="What they have in common.")
    count: int
    last_id: str = Field(description="The newest of them.")


class AgentCount(Counted[AgentCountRow]):
    """Events counted by what they have in common."""


def agent_count(result: CountResult) -> AgentCount:
    """A count with names that say what others wrote."""
    made = safe(result)
    rows = [
        AgentCountRow(untrusted_value=_short(row.value) or "", count=row.count, last_id=row.last_id)
        for row in made.rows
    ]
    return AgentCount(rows=rows, **made.model_dump(exclude={"rows"}))


async def agent_read(result: ReadResult, payload: Payload, *, max_chars: int, trust: Trust) -> AgentRead:
    """A read with its events as a model sees them, made fit for it.

    Args:
        result: What was read; its payloads are not changed.
        payload: What is shown beside each event's line.
        max_chars: The bound of the answer; no payload is larger than that even before it is made to fit.
        trust: Whose words are shown.
    """
    events = []
    for view in result.events:
        view.reason = view.reason or _reasons(result.handled)
        event = _event(view, payload, max_chars, trust)
        if result.mode == "lease":  # the answer says of all that they are the reader's
            event.state = event.held_seconds = None
        events.append(event)
        await anyio.lowlevel.checkpoint()  # a page may be large, and other calls wait, too
    states = [one.model_copy(update={"reason": None}) for one in result.handled]
    rest = safe(result.model_copy(update={"events": [], "handled": states}))
    made = AgentRead(events=events, group=result.group, **rest.model_dump(exclude={"events"}))
    if names.is_dead_letters(result.stream):
        made.stream, made.dead = shown(names.buried_from(result.stream)), True
    return made


def _reasons(handled: Sequence[GroupState]) -> str | None:
    """Why groups have postponed an event, where several are asked about; handlers wrote it."""
    found = {one.group: one.reason for one in handled if one.reason}
    if len(found) == 1:
        return next(iter(found.values()))
    return "; ".join(f"{group}: {reason}" for group, reason in found.items()) or None


def _event(view: EventView, payload: Payload, max_chars: int, trust: Trust) -> AgentEvent:
    whole = view.payload or {}
    withheld = trust.withheld(whole)
    said: dict[str, Any] = {
        "untrusted_summary": _summary(view),
        "untrusted_type": view.event_type,
        "untrusted_channel": slack.channel_of(whole),
        "untrusted_user": slack.user_of(whole),
        "untrusted_thread": slack.thread_of(whole),
        "untrusted_event_id": _text(whole.get("event_id")),
        "untrusted_reason": view.reason if view.buried is None else view.buried.reason,
        "untrusted_place": view.buried and view.buried.place,
    }
    if withheld is not None:
        said = {name: fact(name.removeprefix("untrusted_"), value) for name, value in said.items()}
        said |= {"untrusted_summary": _facts(said), "untrusted_reason": None, "untrusted_place": None}
        what = "postponed" if view.buried is None else "given up on"
        withheld += f"; so is why it was {what}" if view.buried or view.reason else ""
    said = {name: _short(value) for name, value in said.items()}
    is_cut = False
    if withheld is None:
        said["untrusted_text"] = slack.words_of(whole)
        is_cut = view.truncated and bool(CUT.search(said["untrusted_text"] or ""))
        if payload != "none" and view.payload is not None:
            chosen = dict(kinds.event_of(whole)) if payload == "event" else whole
            is_cut = view.truncated or _is_large(chosen, max_chars)
            said["untrusted_payload"] = shorten(chosen, max_chars) if _is_large(chosen, max_chars) else chosen
    made = shown(said)
    made["untrusted_summary"] = made["untrusted_summary"] or "event"
    return AgentEvent(
        id=view.id,
        at=view.timestamp,
        stream=view.stream and shown(view.stream),
        group=shown(view.group or (view.buried and view.buried.group)),
        state=view.state,
        waited_seconds=view.waited_seconds,
        deliveries=view.buried.deliveries if view.buried else view.deliveries,
        holder=view.consumer and shown(view.consumer),
        held_seconds=view.held_seconds,
        left_by=view.left_by and shown(view.left_by),
        had_by=view.had_by and shown(view.had_by),
        free_at=view.free_at,
        yours=view.yours,
        due_at=view.due_at,
        first_id=_short(shown(view.buried.first_id)) if view.buried else None,
        handler=_short(shown(view.buried.handler)) if view.buried else None,
        masked=compact(made).count(MASKED) > compact(said).count(MASKED),
        truncated=is_cut,
        withheld=withheld,
        **made,
    )


def _facts(said: Mapping[str, str | None]) -> str:
    """What happened, where and by whom, by the facts of a withheld event."""
    by, where = said["untrusted_user"], said["untrusted_channel"]
    return f"{said['untrusted_type'] or 'event'}{f' in {where}' if where else ''}{f' by {by}' if by else ''}"


def _summary(view: EventView) -> str:
    """What happened, where and by whom, without the text; or why that is unknown."""
    if view.payload is not None:
        return summarise(view.payload, words=False)
    return view.summary.removesuffix("" if view.buried is None else f" [buried: {view.buried.reason}]")


def _is_large(payload: Mapping[str, Any], max_chars: int) -> bool:
    return len(compact(payload)) > max_chars


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _short(value: str | None) -> str | None:
    """A field on one line, and shortened."""
    if not value:
        return None
    line = " ".join(value.split())
    return line if len(line) <= _MOST_OF_A_FIELD else f"{cut(line, _MOST_OF_A_FIELD)}…"
