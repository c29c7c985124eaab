"""Dead letters: find, redrive and purge them."""

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from functools import partial
from itertools import batched
from typing import Unpack

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.errors import RequestError
from abe_redis.operations import carrying
from abe_redis.operations.caller_limits import Named
from abe_redis.operations.changing import Change, changing
from abe_redis.operations.checks import check_id, check_range
from abe_redis.operations.dead_letter_choice import Choice
from abe_redis.operations.dead_letter_kinds import DeadLetterKinds
from abe_redis.operations.dead_letter_search import DeadLetterSearch, letter_of
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.scope import Scope
from abe_redis.runtime.shell import command
from abe_redis.schemas import (
    MAX_COUNT,
    DeadLetter,
    DeadLettersResult,
    DeadSummaryResult,
    PurgeResult,
    RedriveResult,
)
from abe_redis.streams import dead, ids, names, peek
from abe_redis.streams.publish import announce_here


class DeadLetters:
    """The dead letters of the streams that the settings name.

    Every method raises:
        RequestError: The request cannot be carried out; the message says what is possible.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused a command; earlier changes remain.
    """

    def __init__(self, scope: Scope, *, on_progress: Callable[[int], None] = lambda _: None) -> None:
        self._scope = scope
        self._search = DeadLetterSearch(scope)
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
            stream: The stream they came from, or a topic with its partitions; None: every one.
            choice: Which ones.
            count: How many at most; 1 to 100.
            start: Begin behind this one: an id, or `next_start` of the page before.
            asked: Only dead letters of these events.
        """
        check_range("count", count, 1, MAX_COUNT)
        wanted = Filter.of(self._scope.limits, **asked)
        name = None if stream is None else self._scope.consumable(stream)
        result = DeadLettersResult(letters=[], total=0, more=False)
        begin = carrying.Start.of(start)
        async with self._scope.redis("looking at dead letters") as redis:
            streams = await self._search.streams(redis, name)
            left = begin.streams(streams)
            for one in streams:
                result.total += await dead.count(redis, one)
                if result.more or one not in left:
                    continue
                behind = begin.after(one)
                async for found in self._search.matching(redis, one, choice, after=behind, wanted=wanted):
                    result.more = len(result.letters) == count
                    if result.more:
                        last = result.letters[-1]
                        result.next_start = f"{last.id}@{last.stream}"
                        break
                    result.letters.append(found.letter)
            if not result.letters:
                await self._search.check_group(redis, streams, choice.group)
        return result

    async def payloads(
        self, stream: str | None, choice: Choice, *, start: str | None = None, **asked: Unpack[Asked]
    ) -> AsyncGenerator[carrying.Carried]:
        """The payloads of all dead letters that there are now and that match, the oldest first.

        Args:
            stream: The stream they came from, or a topic, whose partitions come one after the other; None:
                every stream.
            choice: Which ones.
            start: Begin behind this one: an id, or `ID@STREAM`.
            asked: Only dead letters of these events.
        """
        wanted = Filter.of(self._scope.limits, **asked)
        name = None if stream is None else self._scope.consumable(stream)
        begin = carrying.Start.of(start)
        async with self._scope.redis("reading dead letters") as redis:
            streams = begin.streams(await self._search.streams(redis, name))
            ends = await carrying.ends(redis, {one: names.dead_letters(one) for one in streams})
            for one, end in ends.items():
                after = begin.after(one)
                async for found in self._search.matching(redis, one, choice, after=after, wanted=wanted):
                    if ids.order(found.letter.id) > ids.order(end):
                        break
                    yield carrying.carried(one, found.letter.id, found.entry.fields)

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
            streams = await self._search.streams(redis, name)
            for one in streams:
                result.total += await dead.count(redis, one)
                entry = await peek.entry(redis, names.dead_letters(one), dead_id)
                if entry is not None:
                    result.letters.append(letter_of(one, entry, whole=True))
            if not result.letters:
                its = Choice(ids=(dead_id,))
                for one in streams:
                    async for found in self._search.matching(redis, one, its):
                        result.letters.append(found.whole)
        if not result.letters:
            where = f"of {name!r}" if name is not None else "of any stream"
            raise RequestError(f"There is no dead letter {dead_id} {where}. {self._scope.dead_list(name)}")
        return result

    async def summarise(
        self, stream: str | None, choice: Choice, *, count: int = MAX_COUNT, **asked: Unpack[Asked]
    ) -> DeadSummaryResult:
        """Count dead letters by stream, group, handler, type and reason, the most frequent kind first.

        Args:
            stream: The stream they came from, or a topic with its partitions; None: every one.
            choice: Which ones.
            count: How many kinds at most; 1 to 100.
            asked: Only dead letters of these events.
        """
        check_range("count", count, 1, MAX_COUNT)
        wanted = Filter.of(self._scope.limits, **asked)
        name = None if stream is None else self._scope.consumable(stream)
        kinds = DeadLetterKinds()
        async with self._scope.redis("looking at dead letters") as redis:
            streams, there = await self._search.streams(redis, name), 0
            for one in streams:
                there += await dead.count(redis, one)
                async for found in self._search.matching(redis, one, choice, wanted=wanted):
                    kinds.add(found.letter)
                    self._on_progress(1)
            result = kinds.result(count)
            result.in_streams = there
            if not result.total:
                await self._search.check_group(redis, streams, choice.group)
        return result

    async def redrive(
        self, stream: str, choice: Choice, *, dry_run: bool = False, **asked: Unpack[Asked]
    ) -> RedriveResult:
        """Send dead letters back to work, each to the group that gave up on it and to no other.

        They keep the order of first publishing, and their delivery counts start at zero. Of several dead
        letters of one event and group, as after a replay, the newest goes back; the others stay.

        Args:
            stream: The stream they came from.
            choice: Which ones.
            dry_run: Change nothing, and return what would be done.
            asked: Only dead letters of these events.
        """
        wanted = Filter.of(self._scope.limits, **asked)
        choice.check(is_filtered=wanted.is_given)
        name = self._scope.consumable(stream)
        doing, look = f"redriving dead letters of {name!r}", command("dead list", name)
        async with changing(self._scope, "redrive", doing=doing, look=look, stream=name) as change:
            redis = change.redis
            found, unknown = await self._chosen(redis, name, choice, wanted, what="redrive")
            refusals = {letter.id: said for letter in found if (said := self._refusal(letter))}
            allowed = [letter for letter in found if letter.id not in refusals]
            letters = _once_per_event(allowed)
            same = len(allowed) - len(letters)
            if self._scope.limits.is_limited and not dry_run:
                named = [Named(name, letter.group or "", letter.id) for letter in letters]
                agreed = set(self._scope.limits.agreed(named))
                letters = [letter for letter in letters if letter.id in agreed]
                self._scope.limits.spend(len(letters))
            redriven = [letter.id for letter in letters] if dry_run else change.done
            if letters and not dry_run:
                await announce_here(redis, [name])
                for step in _in_steps(letters):
                    await self._redrive(change, name, step, lambda ids: choice.facts(ids, asked))
                    self._on_progress(len(step))
            group_of = {letter.id: letter.group or "" for letter in letters}
            return RedriveResult(
                stream=name,
                redriven=len(redriven),
                groups=dict(Counter(group_of[one] for one in redriven)),
                left=await dead.count(redis, name) - (len(redriven) if dry_run else 0),
                unknown=unknown,
                refused=len(refusals),
                refusal=next(iter(refusals.values()), ""),
                same_event=same,
                dry_run=dry_run,
                note=await self._search.elsewhere(redis, name, "redrive"),
            )

    async def _redrive(
        self, change: Change, name: str, step: list[str], facts: Callable[[list[str]], dict[str, object]]
    ) -> None:
        """Send some dead letters back to work."""
        redis, hard_maxlen = change.redis, self._scope.settings.redis_stream_hard_maxlen

        def note(moved: list[str], was_lost: bool) -> None:  # noqa: FBT001 - of a step
            change.done += step if was_lost else moved  # nobody else has taken what the first try took
            change.facts |= facts(change.done) | {"redriven": len(change.done)}

        async def move() -> list[str]:
            try:
                return await dead.redrive(redis, name, step, hard_maxlen=hard_maxlen)
            except ResponseError:  # as when the stream is full: what came before is moved
                place = names.dead_letters(name)
                note([one for one in step if await peek.entry(redis, place, one) is None], False)  # noqa: FBT003
                raise

        await change.step(move, step, note)

    def _refusal(self, letter: DeadLetter) -> str:
        """Why the caller may not work in the group that a dead letter goes back to; empty if it may."""
        try:
            self._scope.limits.check_group(letter.group or "", letter.stream)
        except RequestError as error:
            return str(error)
        return ""

    async def concerned(self, stream: str, choice: Choice, **asked: Unpack[Asked]) -> list[DeadLetter]:
        """The dead letters that a redrive would deliver again; nothing is changed."""
        wanted = Filter.of(self._scope.limits, **asked)
        choice.check(is_filtered=wanted.is_given)
        name = self._scope.consumable(stream)
        async with self._scope.redis(f"looking at dead letters of {name!r}") as redis:
            found, _ = await self._chosen(redis, name, choice, wanted, what="redrive")
        letters = _once_per_event(letter for letter in found if not self._refusal(letter))
        self._scope.limits.afford(len(letters))
        return letters

    async def purge(
        self, stream: str, choice: Choice, *, dry_run: bool = False, **asked: Unpack[Asked]
    ) -> PurgeResult:
        """Remove dead letters for good; the arguments are those of `redrive`."""
        wanted = Filter.of(self._scope.limits, **asked)
        choice.check(is_filtered=wanted.is_given)
        name = self._scope.consumable(stream)
        doing, look = f"purging dead letters of {name!r}", command("dead list", name)
        async with changing(self._scope, "purge", doing=doing, look=look, stream=name) as change:
            redis = change.redis
            letters, unknown = await self._chosen(redis, name, choice, wanted, what="purge")
            purged = len(letters) if dry_run else 0
            for step in () if dry_run else _in_steps(letters):

                def note(count: int, was_lost: bool, step: list[str] = step) -> None:  # noqa: FBT001 - of a step
                    nonlocal purged
                    purged += len(step) if was_lost else count
                    change.done += step
                    change.facts |= choice.facts(change.done, asked) | {"purged": purged}

                await change.step(partial(dead.purge, redis, name, step), step, note)
                self._on_progress(len(step))
            left = await dead.count(redis, name) - (purged if dry_run else 0)
            elsewhere = await self._search.elsewhere(redis, name, "purge")
        return PurgeResult(
            stream=name, purged=purged, left=left, unknown=unknown, dry_run=dry_run, note=elsewhere
        )

    async def _chosen(
        self, redis: Redis, name: str, choice: Choice, wanted: Filter | None = None, *, what: str
    ) -> tuple[list[DeadLetter], list[str]]:
        """The dead letters of a stream that match, and the given ids that none of these has.

        Raises:
            RequestError: There is no such stream.
        """
        await self._search.check_known(redis, name, what)
        async with self._scope.limits.turn():
            letters = [
                found.letter async for found in self._search.matching(redis, name, choice, wanted=wanted)
            ]
        if not letters:
            await self._search.check_group(redis, [name], choice.group)
        given = {check_id("An id", one) for one in choice.ids}
        own = given & {letter.id for letter in letters}
        if given:  # an id that is a dead letter's own means no other
            letters = [one for one in letters if one.id in own or choice.named(one) & (given - own)]
        return letters, sorted(given - set().union(*map(choice.named, letters)))


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
