"""Consumer groups: describe, create, reset, remove, replay, pause, resume."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.errors import RequestError
from abe_redis.operations import coming_again, given_up, group_making, positions, streams_to_come
from abe_redis.operations.changing import Change, changing
from abe_redis.operations.group_list import listed
from abe_redis.operations.group_partitions import InPartitions
from abe_redis.operations.group_steps import announce, note, note_replay, step
from abe_redis.operations.scope import Scope
from abe_redis.operations.signs_of_life import check_nobody_reads, silent_workers
from abe_redis.runtime.shell import command, option
from abe_redis.schemas import GroupChange, GroupsResult
from abe_redis.streams import manage, names, peek
from abe_redis.streams.turns import SECONDS, Turn

_EMPTY = " The stream is new, and empty until its first event: check its name."
_STARTS = {"beginning": "It starts at the beginning.", "now": "It gets later events only."}


class Groups:
    """The consumer groups of the streams that the settings name.

    Every method raises:
        RequestError: What was asked for cannot be done; the sentence says what can.
        InvalidNameError: A name is not allowed.
        RedisUnavailableError: Redis could not be reached.
        RedisRefusedError: Redis refused.
    """

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def describe(self, stream: str | None = None) -> GroupsResult:
        """The state of the groups of one stream, with the partitions of its topic, or of all."""
        name = None if stream is None else self._scope.consumable(stream)
        async with self._scope.redis("looking at the groups") as redis:
            found = await self._scope.stats(redis, name, parts_too=True)
        return listed(found)

    async def create(
        self,
        stream: str,
        group: str,
        *,
        start: str | None = None,
        force: bool = False,
        create_stream: bool = False,
    ) -> GroupChange:
        """Create a group; one that somebody destroyed, again where it had finished.

        Args:
            start: Where it starts: `beginning`, `now` (later events only), an entry id, a time such as
                `2026-01-31T09:00`, or a time ago such as `2h`. A point that is still to come is refused. By
                default the beginning, or where a destroyed group had finished, if that is recorded.
            force: With `start`, create a destroyed group even if it has unfinished events: those after the
                position are delivered again, those before it are given up.
            create_stream: Make a stream that does not exist yet, empty, also if it is no partition of a topic
                that has streams.
        """
        name, group = self._scope.consumable(stream), names.check_group(group)
        begins = "beginning" if start is None else start
        change = GroupChange(stream=name, group=group, done="created", events=0, note="")
        parts = InPartitions(self._scope, "create", name, group, option("--from", start) if start else "")

        def made_again(where: str | None) -> None:
            if where:
                change.note = f"Somebody had destroyed it; it goes on {where}."
                note(begun, change, start=where, force=force)

        def made(left: manage.Unfinished) -> None:
            change.events, change.is_all = left.known, left.is_all
            let_go = f" It let go of {group_making.unfinished(left)}." if left else ""
            empty = _EMPTY if is_new else ""
            change.note = f"{_STARTS.get(begins, f'It starts at {begins}.')}{let_go}{empty}"
            note(begun, change, start=begins, force=force)

        async with self._changing("create", f"making the group {group!r} of", name, group) as begun:
            redis = begun.redis
            is_new = await streams_to_come.is_to_come(
                self._scope, redis, name, create=create_stream, do=parts.command
            )
            if start is None and not is_new:
                making_again = partial(group_making.make_again, redis, name, group)
                if await step(begun, group, making_again, made_again):
                    return await parts.note(change)
            at = await positions.position(redis, name, begins)
            making = partial(group_making.make, redis, name, group, at, force=force, makes_stream=is_new)
            left = await step(begun, group, making, made)
            if is_new:
                await announce(begun, name)
            await manage.forget_workers(redis, name, group)
        change.note += await given_up.confirmed(self._scope, {name: [group]}) if left else ""
        return await parts.note(change)

    async def reset(
        self, stream: str, group: str, *, start: str, force: bool = False, dry_run: bool = False
    ) -> GroupChange:
        """Move a group to a position; it gets the events after it, some perhaps again.

        Args:
            start: As for `create`.
            force: Move it even if it has unfinished events: those after the position are delivered again,
                those before it are given up.
            dry_run: Change nothing, and say what would happen.
        """
        name, group = self._scope.consumable(stream), names.check_group(group)
        again = coming_again.ComingAgain(0, is_all=True)
        parts = InPartitions(self._scope, "reset", name, group, option("--from", start))

        def change_of(left: manage.Unfinished) -> GroupChange:
            has = group_making.unfinished(left)
            if dry_run:
                lets_go = f", and it lets go of {has}{'' if force else ' (with --force)'}" if left else ""
                note = f"A reset to {start} would change this: {again}{lets_go}."
            else:
                come = f"; {again}" if again.number else ""
                note = f"It goes on from {start}{come}." + (f" It let go of {has}." if left else "")
            return GroupChange(
                stream=name,
                group=group,
                done="nothing" if dry_run else "reset",
                note=note,
                again=again.number,
                dry_run=dry_run,
                **group_making.counted(left),
            )

        def moved_it(found: tuple[manage.Unfinished, bool]) -> None:
            left, moved = found
            if moved:
                note(begun, change_of(left), start=start, force=force)

        async with self._changing("reset", f"moving the group {group!r} of", name, group) as begun:
            redis = begun.redis
            await self._find(redis, parts)
            position = await positions.position(redis, name, start)
            again = await coming_again.after_reset(redis, name, group, position)
            moving = partial(manage.reset, redis, name, group, position, force=force, dry_run=dry_run)
            left, moved = await (moving() if dry_run else step(begun, group, moving, moved_it))
        if not (moved or dry_run):
            raise RequestError(
                f"Group {group!r} of {name!r} has {group_making.unfinished(left)} to finish; nothing was "
                "changed. Let its consumers finish, or force it (--force): those behind the position are "
                "delivered again, those before it are given up."
            )
        change = change_of(left)
        if left.pending and not dry_run:
            change.note += await given_up.confirmed(self._scope, {name: [group]})
        return await parts.note(change)

    async def remove(
        self,
        stream: str,
        group: str,
        *,
        force: bool = False,
        on_wait: Callable[[str], None] = lambda _: None,
    ) -> GroupChange:
        """Remove a group, also a destroyed one.

        Refuse while it has unfinished events or a consumer that is alive, unless forced. Workers that are
        silent and have not ended in order may be alive: wait first for a sign of life.

        Args:
            stream: The stream.
            group: The group.
            force: Remove it in any case, and at once.
            on_wait: Gets a sentence about that wait.
        """
        name, group = self._scope.consumable(stream), names.check_group(group)

        def change_of(left: manage.Unfinished) -> GroupChange:
            again = " A consumer that still reads makes it again, and gets everything from the beginning."
            return GroupChange(
                stream=name,
                group=group,
                done="removed",
                **group_making.counted(left),
                note=(f"It had {group_making.both_counts(left)}." if left else "It had finished everything.")
                + (again if may_be_read else ""),
            )

        def removed_it(found: tuple[manage.Unfinished, bool]) -> None:
            left, removed = found
            if removed:
                note(begun, change_of(left), force=force)

        may_be_read = False
        parts = InPartitions(self._scope, "remove", name, group)
        async with self._changing("remove", f"removing the group {group!r} of", name, group) as begun:
            redis = begun.redis
            await self._scope.check_exists(redis, name, do=parts.command)
            (stats,) = await self._scope.stats(redis, name)
            of = next((one for one in stats.groups if one.name == group), None)
            silent = await silent_workers(redis, name, of) if of is not None else {}
            may_be_read = of is not None and bool(of.workers or silent)
            async with self._naming_groups(redis, name, group):
                if of is not None and may_be_read and not force:
                    await check_nobody_reads(self._scope, redis, name, of, silent, on_wait=on_wait)
                    may_be_read = False
                removing = partial(manage.remove, redis, name, group, force=force)
                left, removed = await step(begun, group, removing, removed_it)
        if not removed:
            raise group_making.not_removed(name, group, left)
        return await parts.note(change_of(left))

    async def replay(
        self,
        stream: str,
        group: str,
        *,
        first: str = "beginning",
        last: str = "now",
        until: str | None = None,
        dry_run: bool = False,
    ) -> GroupChange:
        """Deliver a range of events to one group again, except those that it has not finished yet.

        Args:
            first: `beginning`, an entry id, a time or a time ago.
            last: `now`, an entry id, a time or a time ago; included.
            until: In place of `last`: a point that is not included, as in every other range.
            dry_run: Change nothing, and say how many events would be delivered again.
        """
        name, group = self._scope.consumable(stream), names.check_group(group)
        bounds = {"last": last} if until is None else {"until": until}
        given = [option("--from", first), option("--to", last) if until is None else option("--until", until)]
        parts = InPartitions(self._scope, "replay", name, group, " ".join(given))

        def change_of(again: coming_again.ComingAgain, letters: int = 0) -> GroupChange:
            will = "would" if dry_run else "will"
            come = f"{again.events} {will} be delivered again."
            come += coming_again.about_letters(name, group, letters)
            return GroupChange(
                stream=name,
                group=group,
                done="replayed" if again.number and not dry_run else "nothing",
                events=again.number,
                note=come if again.number else "Nothing is there to replay.",
                again=again.number,
                dead_letters=letters,
                dry_run=dry_run,
            )

        def replayed(number: int, reached: str | None) -> None:
            if number:
                change = change_of(coming_again.ComingAgain(number, is_all=True))
                note_replay(begun, change, reached, first=first, **bounds)

        async with self._changing("replay", f"replaying to group {group!r} of", name, group) as begun:
            redis = begun.redis
            await self._find(redis, parts)
            begin, end = await positions.within(redis, name, first, last, until)
            letters = await coming_again.letters_in(redis, name, group, begin, end)
            if dry_run:
                again = await coming_again.after_replay(redis, name, group, begin, end)
                return await parts.note(change_of(again, letters))
            replaying = partial(manage.replay, redis, name, group, begin, end, on_page=replayed)
            number = await step(begun, group, replaying, lambda _: None)
        again = coming_again.ComingAgain(number, is_all=True)
        return await parts.note(change_of(again, letters if number else 0))

    async def pause(self, stream: str, group: str, *, create_stream: bool = False) -> GroupChange:
        """Deliver no events of a group, also one that somebody destroyed; events in flight are finished.

        A group that other streams have is made where it does not exist yet: in a stream that no worker has
        found, and in a partition, still to come, of a topic that has streams.

        Args:
            stream: The stream.
            group: The group.
            create_stream: Make any stream that does not exist yet, empty, and the group in it.
        """
        name, group = self._scope.consumable(stream), names.check_group(group)
        change = GroupChange(
            stream=stream, group=group, done="nothing", events=0, note="It was paused already."
        )

        def paused(is_changed: bool, was_lost: bool) -> None:  # noqa: FBT001 - of a step
            if is_changed or was_lost:
                change.done = "paused"
                change.note = "Its consumers stop within about two seconds. Running handlers finish."
                change.note += _EMPTY if is_new else ""
                note(begun, change)

        parts = InPartitions(self._scope, "pause", name, group)
        async with self._pausing("pause", "pausing", name, group) as begun:
            redis = begun.redis
            makes = await streams_to_come.may_pause(
                self._scope, redis, name, group, create=create_stream, do=parts.command
            )
            is_new = makes and await peek.kind(redis, name) == "none"
            pausing = partial(manage.pause, redis, name, group, paused=True, makes=makes, turn=Turn(name))
            await begun.step(pausing, [group], paused)
        return await parts.note(change)

    async def resume(self, stream: str, group: str) -> GroupChange:
        """Resume a paused group, also one that somebody destroyed."""
        name, group = self._scope.consumable(stream), names.check_group(group)
        change = GroupChange(stream=stream, group=group, done="nothing", events=0, note="It was not paused.")

        def resumed(is_changed: bool, was_lost: bool) -> None:  # noqa: FBT001 - of a step
            if is_changed or was_lost:
                change.done, change.note = "resumed", "Its consumers go on within about two seconds."
                note(begun, change)

        parts = InPartitions(self._scope, "resume", name, group)
        async with self._pausing("resume", "resuming", name, group) as begun:
            await self._scope.check_exists(begun.redis, name, do=parts.command)
            resuming = partial(manage.pause, begun.redis, name, group, paused=False, turn=Turn(name))
            await begun.step(resuming, [group], resumed)
        return await parts.note(change)

    @asynccontextmanager
    async def _pausing(self, what: str, doing: str, stream: str, group: str) -> AsyncIterator[Change]:
        async with (
            self._changing(what, f"{doing} the group {group!r} of", stream, group) as begun,
            self._naming_groups(begun.redis, stream, group),
        ):
            yield begun
            await announce(begun, stream)

    def _changing(
        self, what: str, doing: str, stream: str, group: str
    ) -> AbstractAsyncContextManager[Change]:
        """As `changing`, for a group."""
        facts, look = {"stream": stream, "group": group}, command("group list", stream)
        doing = f"{doing} {stream!r}"
        return changing(self._scope, f"group {what}", SECONDS, doing=doing, look=look, **facts)

    @asynccontextmanager
    async def _naming_groups(self, redis: Redis, stream: str, group: str) -> AsyncIterator[None]:
        """Say which groups there are when a command finds that there is no such group."""
        try:
            yield
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                await self._scope.find_group(redis, stream, group, create=None)
            raise

    async def _find(self, redis: Redis, of: InPartitions) -> None:
        await self._scope.check_exists(redis, of.stream, do=of.command)
        await self._scope.find_group(redis, of.stream, of.group, create=None)
