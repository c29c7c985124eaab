"""Dead letters: find, redrive and purge them."""

import re
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import batched

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import InvalidArgumentError, RequestError
from abe_redis.operations import event_views
from abe_redis.operations.scope import Scope, check_id, check_range
from abe_redis.sanitize.secrets import mask
from abe_redis.sanitize.untrusted import shown
from abe_redis.schemas import (
    MAX_COUNT,
    DeadLetter,
    DeadLetterKind,
    DeadLettersResult,
    DeadSummaryResult,
    PurgeResult,
    RedriveResult,
)
from abe_redis.streams import dead, dead_fields, ids, names, peek
from abe_redis.streams.publish import announce
from abe_redis.streams.search import existing

_PAGE = 50

_VARYING = re.compile(r"""'[^']{1,200}'|"[^"]{1,200}"|\b[0-9a-fA-F-]*\d[0-9a-fA-F.:-]*""")
"""What differs among reasons that are alike: numbers, ids, what stands in quotes."""
_MOST_KINDS = 10_000
_OTHERS = "(other reasons: there are too many kinds)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A choice of dead letters: those that match every given field."""

    ids: Sequence[str] = ()
    """Ids of dead letters."""
    everything: bool = False
    """All of them; required when no other field is given."""
    reason: str | None = None
    """Text that the reason contains, ignoring case."""
    group: str | None = None
    """The group that gave up on them."""
    event_type: str | None = None
    """The type of the Slack event."""
    older_than_seconds: float | None = None
    """Least time since they were buried."""

    def check(self) -> None:
        """Refuse an empty choice.

        Raises:
            RequestError: Nothing was chosen, or an id is not valid.
        """
        for one in self.ids:
            check_id("An id", one)
        chosen = (self.ids, self.reason, self.group, self.event_type, self.older_than_seconds is not None)
        if self.everything == any(chosen):
            raise InvalidArgumentError("Say which dead letters: ids, a filter such as reason, or all.")

    def facts(self) -> dict[str, object]:
        """The choice for the audit."""
        return {
            "ids": list(self.ids),
            "reason": self.reason,
            "group": self.group,
            "event_type": self.event_type,
            "older_than_seconds": self.older_than_seconds,
        }

    def is_in(self, reason: str) -> bool:
        """Whether the words stand in a reason, or in that of its kind."""
        words = " ".join((self.reason or "").casefold().removesuffix("…").split())
        return any(words in " ".join(one.casefold().split()) for one in (reason, alike(reason)))

    def matches(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether a dead letter matches."""
        return (
            (not self.ids or letter.id in self.ids)
            and (self.reason is None or self.is_in(letter.reason))
            and self.group in {None, letter.group}
            and self.event_type in {None, letter.event_type}
            and (
                self.older_than_seconds is None
                or (now - letter.buried_at).total_seconds() >= self.older_than_seconds
            )
        )


class DeadLetters:
    """The dead letters of the streams that the settings name.

    Every method raises:
        RequestError: The request cannot be carried out; the message says what is possible.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused a command; earlier changes remain.
    """

    def __init__(self, scope: Scope, *, on_progress: Callable[[int], None] = lambda _: None) -> None:
        self._scope = scope
        self._on_progress = on_progress
        """Called with the number of dead letters that were just processed."""

    async def find(
        self, stream: str | None, choice: Choice, *, count: int = MAX_COUNT, start: str | None = None
    ) -> DeadLettersResult:
        """Look at dead letters, the oldest first.

        Args:
            stream: The stream they came from; None: every one.
            choice: Which ones.
            count: How many at most; 1 to 100.
            start: Begin behind this one: an id, or `next_start` of the page before.
        """
        check_range("count", count, 1, MAX_COUNT)
        name = None if stream is None else self._scope.consumable(stream)
        result = DeadLettersResult(letters=[], total=0, more=False)
        after, _, begin_in = (start or "").partition("@")
        after = check_id("start", after) if after else ""
        async with self._scope.redis("looking at dead letters") as redis:
            for one in [name] if name is not None else await self.sources(redis):
                result.total += await dead.count(redis, one)
                if result.more or one < begin_in:
                    continue
                behind = after if one == (begin_in or name) else None
                async for letter in self._matching(redis, one, choice, after=behind):
                    result.more = len(result.letters) == count
                    if result.more:
                        last = result.letters[-1]
                        result.next_start = f"{last.id}@{last.stream}"
                        break
                    result.letters.append(letter)
        return result

    async def show(self, dead_id: str, stream: str | None = None) -> DeadLettersResult:
        """All there is to say of one dead letter; of several streams, when they have one of the same id."""
        dead_id = check_id("ID", dead_id)
        name = None if stream is None else self._scope.consumable(stream)
        result = DeadLettersResult(letters=[], total=0, more=False)
        async with self._scope.redis(f"looking at the dead letter {dead_id}") as redis:
            for one in [name] if name is not None else await self.sources(redis):
                result.total += await dead.count(redis, one)
                entry = await peek.entry(redis, names.dead_letters(one), dead_id)
                if entry is not None:
                    result.letters.append(_letter(one, entry, whole=True))
        if not result.letters:
            where = f"of {name!r}" if name is not None else "of any stream"
            raise RequestError(
                f"There is no dead letter {dead_id} {where}. `abe-redis dead list` shows those there are."
            )
        return result

    async def summarise(
        self, stream: str | None, choice: Choice, *, count: int = MAX_COUNT
    ) -> DeadSummaryResult:
        """Count dead letters by stream, group, handler, type and reason, the most frequent kind first.

        Args:
            stream: The stream they came from; None: every one.
            choice: Which ones.
            count: How many kinds at most; 1 to 100.
        """
        check_range("count", count, 1, MAX_COUNT)
        name = None if stream is None else self._scope.consumable(stream)
        kinds: dict[tuple[str | None, ...], DeadLetterKind] = {}
        total = 0
        async with self._scope.redis("looking at dead letters") as redis:
            for one in [name] if name is not None else await self.sources(redis):
                async for letter in self._matching(redis, one, choice):
                    total += 1
                    self._on_progress(1)
                    reason = alike(letter.reason)
                    key = (one, letter.group, letter.handler, letter.event_type, reason)
                    kind = kinds.get(key)
                    if kind is None and len(kinds) >= _MOST_KINDS:
                        key = (one, None, None, None, _OTHERS)
                        kind = kinds.get(key)
                    if kind is None:
                        kinds[key] = DeadLetterKind(
                            stream=one,
                            group=key[1],
                            handler=key[2],
                            event_type=key[3],
                            reason=key[4] or "",
                            count=1,
                            first_at=letter.buried_at,
                            last_at=letter.buried_at,
                            last_id=letter.id,
                        )
                    else:
                        kind.count += 1
                        kind.last_at, kind.last_id = letter.buried_at, letter.id
        found = sorted(kinds.values(), key=lambda kind: -kind.count)
        return DeadSummaryResult(kinds=found[:count], total=total, omitted=len(found[count:]))

    async def redrive(self, stream: str, choice: Choice, *, dry_run: bool = False) -> RedriveResult:
        """Send dead letters back to work, each to the group that gave up on it and to no other.

        They keep the order of first publishing, and their delivery counts start at zero.
        """
        choice.check()
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"redriving dead letters of {name!r}") as redis:
            found = [letter async for letter in self._matching(redis, name, choice)]
            letters = sorted(filter(self._may_redrive, found), key=lambda letter: _order(letter.first_id))
            if self._scope.limits.is_limited and not dry_run:
                agreed = set(self._scope.limits.agreed([letter.id for letter in letters]))
                letters = [letter for letter in letters if letter.id in agreed]
                self._scope.limits.spend(len(letters))
            redriven = [letter.id for letter in letters] if dry_run else []
            if letters and not dry_run:
                await announce(redis, [name])
                for step in _in_steps(letters):
                    redriven += await dead.redrive(
                        redis, name, step, hard_maxlen=self._scope.settings.redis_stream_hard_maxlen
                    )
                    self._on_progress(len(step))
            group_of = {letter.id: letter.group or "" for letter in letters}
            result = RedriveResult(
                stream=name,
                redriven=len(redriven),
                groups=dict(Counter(group_of[one] for one in redriven)),
                left=await dead.count(redis, name),
                dry_run=dry_run,
                unknown=sorted({check_id("An id", one) for one in choice.ids} - {one.id for one in found}),
            )
        if redriven and not dry_run:
            await self._scope.note("redrive", stream=name, **choice.facts(), redriven=result.redriven)
        return result

    def _may_redrive(self, letter: DeadLetter) -> bool:
        """Whether the caller may work in the group that a dead letter goes back to."""
        try:
            self._scope.limits.check_group(letter.group or "")
        except RequestError:
            return False
        return True

    def _may_read(self, entry: peek.Entry) -> bool:
        """Whether the caller may find out by a filter why this was buried: a reason may quote the event."""
        return self._scope.limits.may_read(event_views.view(entry.id, entry.fields).payload or {})

    async def concerned(self, stream: str, choice: Choice) -> list[DeadLetter]:
        """The dead letters that a redrive would deliver again; nothing is changed."""
        choice.check()
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"looking at dead letters of {name!r}") as redis:
            found = [letter async for letter in self._matching(redis, name, choice)]
        letters = [letter for letter in found if self._may_redrive(letter)]
        self._scope.limits.afford(len(letters))
        return letters

    async def purge(self, stream: str, choice: Choice, *, dry_run: bool = False) -> PurgeResult:
        """Remove dead letters for good."""
        choice.check()
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"purging dead letters of {name!r}") as redis:
            letters = [letter async for letter in self._matching(redis, name, choice)]
            purged = len(letters) if dry_run else 0
            for step in () if dry_run else _in_steps(letters):
                purged += await dead.purge(redis, name, step)
                self._on_progress(len(step))
            left = await dead.count(redis, name)
        if purged and not dry_run:
            await self._scope.note("purge", stream=name, **choice.facts(), purged=purged)
        return PurgeResult(stream=name, purged=purged, left=left, dry_run=dry_run)

    async def sources(self, redis: Redis) -> list[str]:
        """Streams that may have dead letters: existing ones, and those with nothing else left."""
        found = set(await existing(redis, self._scope.patterns, limit=sys.maxsize))
        buried = await existing(redis, _DeadLettersOf(self._scope.patterns), limit=sys.maxsize)
        return sorted(found | {names.buried_from(name) for name in buried})

    async def _matching(
        self, redis: Redis, stream: str, choice: Choice, *, after: str | None = None
    ) -> AsyncIterator[DeadLetter]:
        now = datetime.fromtimestamp(await peek.now(redis), UTC)
        choice = replace(choice, ids=[check_id("An id", one) for one in choice.ids])
        async for page in peek.pages(redis, names.dead_letters(stream), size=_PAGE, after=after):
            for entry in page:
                await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
                letter = _letter(stream, entry)
                if self._scope.limits.is_limited:  # who is shown no secret finds none out by guessing
                    letter.reason = shown(letter.reason)
                if choice.matches(letter, now) and (choice.reason is None or self._may_read(entry)):
                    yield letter


class _DeadLettersOf(names.Patterns):
    """The dead letters of the streams that match some patterns."""

    def __init__(self, patterns: names.Patterns) -> None:
        super().__init__((*map(names.dead_letters, patterns.literals), "dead:*"))
        self._sources = patterns

    def match(self, name: str) -> bool:
        return names.is_dead_letters(name) and self._sources.match(names.buried_from(name))


def _letter(stream: str, entry: peek.Entry, *, whole: bool = False) -> DeadLetter:
    def said(name: bytes) -> str | None:
        value = entry.fields.get(name)
        return None if value is None else value.decode(errors="replace")

    view = event_views.view(
        entry.id, {name: value for name, value in entry.fields.items() if name != dead_fields.REASON}
    )
    return DeadLetter(
        id=entry.id,
        stream=stream,
        group=said(dead_fields.GROUP),
        reason=said(dead_fields.REASON) or "",
        deliveries=ids.number(entry.fields.get(dead_fields.DELIVERIES)),
        consumer=said(dead_fields.CONSUMER),
        buried_at=view.timestamp,
        first_id=said(dead_fields.FIRST_ID) or entry.id,
        event_type=view.event_type,
        summary=view.summary,
        handler=said(dead_fields.HANDLER),
        trace=said(dead_fields.TRACE) if whole else None,
        payload=view.payload if whole else None,
    )


def alike(reason: str) -> str:
    """A reason without what differs among those that are alike, and first of all without secrets."""
    return _VARYING.sub("#", mask(reason))


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return ids.number(milliseconds) or 0, ids.number(sequence) or 0


def _in_steps(letters: Sequence[DeadLetter]) -> Iterator[list[str]]:
    for step in batched(letters, dead.AT_ONCE):
        yield [letter.id for letter in step]
