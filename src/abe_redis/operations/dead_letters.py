"""Dead letters: find, redrive and purge them."""

import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import batched
from typing import Unpack

import anyio.lowlevel
from redis.asyncio import Redis

from abe_redis.errors import RequestError
from abe_redis.operations import event_views
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letter_kinds import DeadLetterKinds
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.positions import since as since_id
from abe_redis.operations.scope import Scope, check_id, check_range
from abe_redis.sanitize.untrusted import shown
from abe_redis.schemas import (
    MAX_COUNT,
    DeadLetter,
    DeadLettersResult,
    DeadSummaryResult,
    PurgeResult,
    RedriveResult,
)
from abe_redis.streams import dead, dead_fields, ids, names, peek
from abe_redis.streams.find_streams import existing
from abe_redis.streams.patterns import Patterns
from abe_redis.streams.publish import announce

_PAGE = 50


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
        self,
        stream: str | None,
        choice: Choice,
        *,
        count: int = MAX_COUNT,
        start: str | None = None,
        **asked: Unpack[Asked],
    ) -> DeadLettersResult:
        """Look at dead letters, the oldest first.

        Args:
            stream: The stream they came from; None: every one.
            choice: Which ones.
            count: How many at most; 1 to 100.
            start: Begin behind this one: an id, or `next_start` of the page before.
            asked: Only dead letters of these events.
        """
        check_range("count", count, 1, MAX_COUNT)
        wanted = Filter.of(self._scope.limits, **asked)
        name = None if stream is None else self._scope.consumable(stream)
        result = DeadLettersResult(letters=[], total=0, more=False)
        after, _, begin_in = (start or "").partition("@")
        after = check_id("start", after) if after else ""
        async with self._scope.redis("looking at dead letters") as redis:
            for one in await self._streams(redis, name):
                result.total += await dead.count(redis, one)
                if result.more or one < begin_in:
                    continue
                behind = after if one == (begin_in or name) else None
                async for letter in self._matching(redis, one, choice, after=behind, wanted=wanted):
                    result.more = len(result.letters) == count
                    if result.more:
                        last = result.letters[-1]
                        result.next_start = f"{last.id}@{last.stream}"
                        break
                    result.letters.append(letter)
        return result

    async def show(self, dead_id: str, stream: str | None = None) -> DeadLettersResult:
        """All facts about one dead letter; about several if streams or groups have one of the same id.

        Args:
            dead_id: Its id, or one that its event had, as logs name it.
            stream: The stream it came from; None: every one.
        """
        dead_id = check_id("ID", dead_id)
        name = None if stream is None else self._scope.consumable(stream)
        result = DeadLettersResult(letters=[], total=0, more=False)
        async with self._scope.redis(f"looking at the dead letter {dead_id}") as redis:
            for one in await self._streams(redis, name):
                result.total += await dead.count(redis, one)
                entry = await peek.entry(redis, names.dead_letters(one), dead_id)
                if entry is not None:
                    result.letters.append(_letter(one, entry, whole=True))
            if not result.letters:
                its = Choice(ids=(dead_id,))
                for one in await self._streams(redis, name):
                    async for letter in self._matching(redis, one, its, whole=True):
                        result.letters.append(letter)
        if not result.letters:
            where = f"of {name!r}" if name is not None else "of any stream"
            raise RequestError(f"There is no dead letter {dead_id} {where}. {self._scope.dead_list(name)}")
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
        kinds = DeadLetterKinds()
        async with self._scope.redis("looking at dead letters") as redis:
            for one in await self._streams(redis, name):
                async for letter in self._matching(redis, one, choice):
                    kinds.add(letter)
                    self._on_progress(1)
        return kinds.result(count)

    async def redrive(self, stream: str, choice: Choice, *, dry_run: bool = False) -> RedriveResult:
        """Send dead letters back to work, each to the group that gave up on it and to no other.

        They keep the order of first publishing, and their delivery counts start at zero. Of several dead
        letters of one event and group, as after a replay, the newest goes back; the others stay.
        """
        choice.check()
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"redriving dead letters of {name!r}") as redis:
            found, unknown = await self._chosen(redis, name, choice)
            refusals = {letter.id: said for letter in found if (said := self._refusal(letter))}
            allowed = [letter for letter in found if letter.id not in refusals]
            letters = _once_per_event(allowed)
            same = len(allowed) - len(letters)
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
                unknown=unknown,
                refused=len(refusals),
                refusal=next(iter(refusals.values()), ""),
                same_event=same,
                dry_run=dry_run,
            )
        if redriven and not dry_run:
            await self._scope.note("redrive", stream=name, **choice.facts(redriven), redriven=result.redriven)
        return result

    def _refusal(self, letter: DeadLetter) -> str:
        """Why the caller may not work in the group that a dead letter goes back to; empty if it may."""
        try:
            self._scope.limits.check_group(letter.group or "", letter.stream)
        except RequestError as error:
            return str(error)
        return ""

    def _may_read(self, entry: peek.Entry) -> bool:
        """Whether a filter of the caller may match the reason: a reason may quote the event."""
        return self._scope.limits.may_read(event_views.view(entry.id, entry.fields).payload or {})

    async def concerned(self, stream: str, choice: Choice) -> list[DeadLetter]:
        """The dead letters that a redrive would deliver again; nothing is changed."""
        choice.check()
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"looking at dead letters of {name!r}") as redis:
            found, _ = await self._chosen(redis, name, choice)
        letters = _once_per_event(letter for letter in found if not self._refusal(letter))
        self._scope.limits.afford(len(letters))
        return letters

    async def purge(self, stream: str, choice: Choice, *, dry_run: bool = False) -> PurgeResult:
        """Remove dead letters for good."""
        choice.check()
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"purging dead letters of {name!r}") as redis:
            letters, unknown = await self._chosen(redis, name, choice)
            purged = len(letters) if dry_run else 0
            for step in () if dry_run else _in_steps(letters):
                purged += await dead.purge(redis, name, step)
                self._on_progress(len(step))
            left = await dead.count(redis, name)
        if purged and not dry_run:
            await self._scope.note(
                "purge", stream=name, **choice.facts([one.id for one in letters]), purged=purged
            )
        return PurgeResult(stream=name, purged=purged, left=left, unknown=unknown, dry_run=dry_run)

    async def sources(self, redis: Redis) -> list[str]:
        """Streams that may have dead letters: existing ones, and those with only dead letters left."""
        found = set(await existing(redis, self._scope.patterns, limit=sys.maxsize))
        buried = await existing(redis, _DeadLettersOf(self._scope.patterns), limit=sys.maxsize)
        return sorted(found | {names.buried_from(name) for name in buried})

    async def _streams(self, redis: Redis, name: str | None) -> list[str]:
        """The stream of this name, or all of them.

        Raises:
            RequestError: There is no such stream, and there are no dead letters of it.
        """
        if name is None:
            return await self.sources(redis)
        await self._scope.check_known(redis, name)
        return [name]

    async def _chosen(self, redis: Redis, name: str, choice: Choice) -> tuple[list[DeadLetter], list[str]]:
        """The dead letters of a stream that match, and the given ids that none of these has.

        Raises:
            RequestError: There is no such stream.
        """
        await self._scope.check_known(redis, name)
        async with self._scope.limits.turn():
            letters = [letter async for letter in self._matching(redis, name, choice)]
        given = {check_id("An id", one) for one in choice.ids}
        own = given & {letter.id for letter in letters}
        if given:  # an id that is a dead letter's own means no other
            letters = [one for one in letters if one.id in own or choice.named(one) & (given - own)]
        return letters, sorted(given - set().union(*map(choice.named, letters)))

    async def _matching(
        self,
        redis: Redis,
        stream: str,
        choice: Choice,
        *,
        after: str | None = None,
        whole: bool = False,
        wanted: Filter | None = None,
    ) -> AsyncIterator[DeadLetter]:
        now = datetime.fromtimestamp(await peek.now(redis), UTC)
        if choice.since is not None:
            first = ids.before(await since_id(redis, choice.since))
            after = first if after is None or ids.order(after) < ids.order(first) else after
        end = None if choice.until is None else ids.order(await since_id(redis, choice.until))
        choice = replace(choice, ids=[check_id("An id", one) for one in choice.ids])
        async for page in peek.pages(redis, names.dead_letters(stream), size=_PAGE, after=after):
            for entry in page:
                await anyio.lowlevel.checkpoint()  # others have their turn, however large the entries are
                if end is not None and ids.order(entry.id) >= end:
                    return
                if wanted and not wanted.matches(event_views.view(entry.id, entry.fields)):
                    continue
                letter = _letter(stream, entry, whole=whole)
                if self._scope.limits.is_limited:  # a hidden secret must not be found by guessing
                    letter.reason = shown(letter.reason)
                if choice.matches(letter, now) and (choice.reason is None or self._may_read(entry)):
                    yield letter


class _DeadLettersOf(Patterns):
    """The dead letters of the streams that match some patterns."""

    def __init__(self, patterns: Patterns) -> None:
        super().__init__((*map(names.dead_letters, patterns.literals), "dead:*"))
        self._sources = patterns

    def match(self, name: str) -> bool:
        return names.is_dead_letters(name) and self._sources.match(names.buried_from(name))


def _letter(stream: str, entry: peek.Entry, *, whole: bool = False) -> DeadLetter:
    def said(name: bytes) -> str | None:
        value = entry.fields.get(name)
        return None if value is None else value.decode(errors="replace")

    first_id = said(dead_fields.FIRST_ID) or entry.id
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
        first_id=first_id,
        entry_id=said(dead_fields.ENTRY_ID) or first_id,
        event_type=view.event_type,
        summary=view.summary,
        handler=said(dead_fields.HANDLER),
        trace=said(dead_fields.TRACE) if whole else None,
        payload=view.payload if whole else None,
    )


def _order(entry_id: str) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition("-")
    return ids.number(milliseconds) or 0, ids.number(sequence) or 0


def _once_per_event(letters: Iterable[DeadLetter]) -> list[DeadLetter]:
    """The newest dead letter of each event and group, in the order in which the events were published.

    Two are of one event when they say so and look alike: anybody may write a dead letter.
    """
    in_order = sorted(letters, key=lambda letter: (_order(letter.first_id), _order(letter.id)))
    newest = {(one.first_id, one.group, one.event_type, one.summary): one for one in in_order}
    return sorted(newest.values(), key=lambda letter: (_order(letter.first_id), _order(letter.id)))


def _in_steps(letters: Sequence[DeadLetter]) -> Iterator[list[str]]:
    for step in batched(letters, dead.AT_ONCE):
        yield [letter.id for letter in step]
