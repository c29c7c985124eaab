"""Consumer groups: describe, create, reset, remove, replay, pause, resume."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from abe_redis.errors import RequestError
from abe_redis.operations import coming_again, group_making, positions, streams_to_come
from abe_redis.operations.scope import Scope
from abe_redis.schemas import GroupChange, GroupOfStream, GroupsResult
from abe_redis.schemas.stats import is_agent
from abe_redis.streams import manage, names, peek

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
        """The state of the groups of one stream, or of all."""
        name = None if stream is None else self._scope.consumable(stream)
        async with self._scope.redis("looking at the groups") as redis:
            found = await self._scope.stats(redis, name)
        return GroupsResult(
            groups=[
                GroupOfStream(
                    stream=stats.stream,
                    alive=sum(one.alive and not is_agent(one.name) for one in group.consumers),
                    **dict(group),
                )
                for stats in found
                for group in stats.groups
            ]
        )

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
        events, begins = 0, "beginning" if start is None else start
        async with self._scope.redis(f"making the group {group!r} of {name!r}") as redis:
            is_new = await streams_to_come.is_to_come(self._scope, redis, name, create=create_stream)
            is_anew = is_new or start is not None
            again = None if is_anew else await group_making.make_again(redis, name, group)
            if again:
                begins, note = again, f"Somebody had destroyed it; it goes on {again}."
            else:
                at = await positions.position(redis, name, begins)
                left = await group_making.make(redis, name, group, at, force=force, makes_stream=is_new)
                await manage.forget_workers(redis, name, group)
                events = left.pending + (left.undelivered or 0)
                note = _STARTS.get(begins, f"It starts at {begins}.")
                if left:
                    note += f" It let go of {group_making.unfinished(left)}."
                note += _EMPTY if is_new else ""
        change = GroupChange(stream=name, group=group, done="created", events=events, note=note)
        return await self._noted("group create", change, start=begins, force=force)

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
        async with self._scope.redis(f"moving the group {group!r} of {name!r}") as redis:
            await self._find(redis, name, group)
            position = await positions.position(redis, name, start)
            again = await coming_again.after_reset(redis, name, group, position)
            if dry_run:
                pending, passed = await coming_again.passed_over(redis, name, group, position)
                moved = force or not pending + passed
            else:
                left, moved = await manage.reset(redis, name, group, position, force=force)
                pending, passed = left.pending, left.undelivered or 0
        unfinished = manage.Unfinished(pending, passed)
        has = group_making.unfinished(unfinished)
        if not moved:
            raise RequestError(
                f"Group {group!r} of {name!r} has {has} to finish; nothing was changed. Let its consumers "
                "finish, or force it (--force): those behind the position are delivered again, those before "
                "it are given up."
            )
        if dry_run:
            lets_go = f", and it lets go of {has}" if unfinished else ""
            note = f"A reset to {start} would change this: {again}{lets_go}."
        else:
            come = f"; {again}" if again.number else ""
            note = f"It goes on from {start}{come}." + (f" It let go of {has}." if unfinished else "")
        change = GroupChange(
            stream=name,
            group=group,
            done="nothing" if dry_run else "reset",
            events=pending + passed,
            note=note,
            again=again.number,
            dry_run=dry_run,
        )
        return await self._noted("group reset", change, start=start, force=force)

    async def remove(self, stream: str, group: str, *, force: bool = False) -> GroupChange:
        """Remove a group, also a destroyed one.

        Refuse while it has unfinished events or a consumer that is alive, unless forced.
        """
        name, group = self._scope.consumable(stream), names.check_group(group)
        async with self._scope.redis(f"removing the group {group!r} of {name!r}") as redis:
            await self._scope.check_exists(redis, name)
            (stats,) = await self._scope.stats(redis, name)
            of = next((one for one in stats.groups if one.name == group), None)
            alive = [] if of is None else [one.name for one in of.workers]
            if of is not None and alive and not (force or of.pending or of.lag):
                raise RequestError(
                    f"Group {group!r} of {name!r} has consumers that are alive, or were a lease ago "
                    f"({', '.join(alive[:5])}); it was not removed. They would make it again, and get "
                    "everything from the beginning. Stop them and wait for a lease, or force it (--force)."
                )
            async with self._naming_groups(redis, name, group):
                left, removed = await manage.remove(redis, name, group, force=force)
        undelivered = "an unknown number of" if left.undelivered is None else left.undelivered
        has = f"{left.pending} pending and {undelivered} undelivered events"
        if not removed:
            raise RequestError(
                f"Group {group!r} of {name!r} has {has}; it was not removed. Let its consumers finish, or "
                "force it (--force), which gives them up."
            )
        again = " A consumer that still reads makes it again, and gets everything from the beginning."
        change = GroupChange(
            stream=name,
            group=group,
            done="removed",
            events=left.pending + (left.undelivered or 0),
            note=(f"It had {has}." if left else "It had finished everything.") + (again if alive else ""),
        )
        return await self._noted("group remove", change, force=force)

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
        async with self._scope.redis(f"replaying {name!r} to group {group!r}") as redis:
            await self._find(redis, name, group)
            begin, end = await positions.within(redis, name, first, last, until)
            if dry_run:
                again = await coming_again.after_replay(redis, name, group, begin, end)
            else:
                again = coming_again.ComingAgain(
                    await manage.replay(redis, name, group, begin, end), is_all=True
                )
        will = "would" if dry_run else "will"
        note = f"{again.events} {will} be delivered again." if again.number else "Nothing is there to replay."
        change = GroupChange(
            stream=name,
            group=group,
            done="replayed" if again.number and not dry_run else "nothing",
            events=again.number,
            note=note,
            again=again.number,
            dry_run=dry_run,
        )
        bounds = {"last": last} if until is None else {"until": until}
        return await self._noted("group replay", change, first=first, **bounds)

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
        async with self._pausing(name, group) as redis:
            makes = await streams_to_come.may_pause(self._scope, redis, name, group, create=create_stream)
            is_new = makes and await peek.kind(redis, name) == "none"
            changed = await manage.pause(redis, name, group, paused=True, makes=makes)
        if changed:
            note = "Its consumers stop within about two seconds. Running handlers finish."
            note += _EMPTY if is_new else ""
            change = GroupChange(stream=stream, group=group, done="paused", events=0, note=note)
            return await self._noted("group pause", change)
        return GroupChange(
            stream=stream, group=group, done="nothing", events=0, note="It was paused already."
        )

    async def resume(self, stream: str, group: str) -> GroupChange:
        """Resume a paused group, also one that somebody destroyed."""
        name, group = self._scope.consumable(stream), names.check_group(group)
        async with self._pausing(name, group) as redis:
            await self._scope.check_exists(redis, name)
            changed = await manage.pause(redis, name, group, paused=False)
        if changed:
            note = "Its consumers go on within about two seconds."
            change = GroupChange(stream=stream, group=group, done="resumed", events=0, note=note)
            return await self._noted("group resume", change)
        return GroupChange(stream=stream, group=group, done="nothing", events=0, note="It was not paused.")

    async def _noted(self, what: str, change: GroupChange, **facts: object) -> GroupChange:
        """The change, after recording it in the audit unless nothing was changed."""
        if change.done != "nothing":
            told = {"done": change.done, "events": change.events, **facts}
            await self._scope.note(what, stream=change.stream, group=change.group, **told)
        return change

    @asynccontextmanager
    async def _pausing(self, stream: str, group: str) -> AsyncIterator[Redis]:
        async with (
            self._scope.redis(f"pausing or resuming the group {group!r} of {stream!r}") as redis,
            self._naming_groups(redis, stream, group),
        ):
            yield redis

    @asynccontextmanager
    async def _naming_groups(self, redis: Redis, stream: str, group: str) -> AsyncIterator[None]:
        """Say which groups there are when a command finds that there is no such group."""
        try:
            yield
        except ResponseError as error:
            if str(error).startswith("NOGROUP"):
                await self._scope.find_group(redis, stream, group, create=None)
            raise

    async def _find(self, redis: Redis, stream: str, group: str) -> None:
        await self._scope.check_exists(redis, stream)
        await self._scope.find_group(redis, stream, group, create=None)
