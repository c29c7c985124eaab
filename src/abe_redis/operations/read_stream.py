"""Reads a stream by hand: one function for peeking, leasing and pending entries."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Unpack

from redis.asyncio import Redis

from abe_redis.client import failures
from abe_redis.errors import InvalidArgumentError
from abe_redis.operations import leasing
from abe_redis.operations.changing import END_SECONDS
from abe_redis.operations.checks import check_id, check_range
from abe_redis.operations.filters import Asked, Filter
from abe_redis.operations.positions import position
from abe_redis.operations.waiting import Waiting
from abe_redis.runtime import tasks
from abe_redis.runtime.shell import command
from abe_redis.schemas import MAX_COUNT, ReadResult
from abe_redis.schemas.stats import kind_of
from abe_redis.streams import hold_times
from abe_redis.streams.peek import Order


class Reading(Waiting):
    """Reading and leasing for a caller, one stream at a time."""

    async def read_stream(
        self,
        *,
        stream: str | None = None,
        count: int = 10,
        group: str | None = None,
        create_group: bool = False,
        consumer: str | None = None,
        pending: bool = False,
        waiting: bool = False,
        start: str | None = None,
        order: Order = "newest",
        wait_seconds: float = 0,
        max_chars: int | None = 20_000,
        **asked: Unpack[Asked],
    ) -> ReadResult:
        """With a group: `lease`, or `pending` or `waiting` if that is set. Without a group: `peek`.

        Args:
            stream: As there, like all that follows.
            count: How many at most.
            group: The group.
            create_group: For a lease.
            consumer: For a lease, and for what is pending.
            pending: Show what is leased in the group, and change nothing.
            waiting: Show what the group has not finished, and change nothing.
            start: To peek, and for what is pending or waits; a lease goes on where the group is.
            order: To peek; a lease is always oldest first.
            wait_seconds: To peek, and for a lease.
            max_chars: How many characters of payload to return at most; None: all.
            asked: To peek, and for what waits.
        """
        if waiting:
            others = {
                "pending": pending,
                "create_group": create_group,
                "consumer": consumer is not None,
                "wait_seconds": bool(wait_seconds),
            }
            if given := [name for name, is_given in others.items() if is_given]:
                raise InvalidArgumentError(
                    "waiting shows all that a group has not finished, whoever has it: leave out "
                    f"{' and '.join(given)}."
                )
            return await self.waiting(
                stream=stream, group=group, count=count, start=start, max_chars=max_chars, **asked
            )
        if group is None:
            if pending or create_group:
                what = "pending" if pending else "create_group"
                raise InvalidArgumentError(f"{what} needs a group: name one with group.")
            return await self.peek(
                stream=stream, count=count, start=start, order=order, wait_seconds=wait_seconds,
                max_chars=max_chars, **asked,
            )  # fmt: skip
        if unheeded := [
            *(name for name, value in asked.items() if value),
            *["start"] * bool(start and not pending),
        ]:
            raise InvalidArgumentError(
                f"A group's events come in their order: leave out {', '.join(unheeded)}, or leave out group "
                "to look without leasing."
            )
        if pending:
            return await self.pending(
                stream=stream, group=group, count=count, start=start, consumer=consumer, max_chars=max_chars
            )
        return await self.lease(
            stream=stream, group=group, count=count, create_group=create_group, consumer=consumer,
            wait_seconds=wait_seconds, max_chars=max_chars,
        )  # fmt: skip

    async def lease(
        self,
        *,
        group: str,
        stream: str | None = None,
        count: int = 10,
        ids: Sequence[str] = (),
        event_type: str | None = None,
        channel: str | None = None,
        contains: str | None = None,
        create_group: bool = False,
        since: str | None = None,
        consumer: str | None = None,
        wait_seconds: float = 0,
        max_chars: int | None = 20_000,
    ) -> ReadResult:
        """Lease a group's oldest events, or chosen ones, to be settled with `ack` or `release`.

        Args:
            group: The group.
            stream: By default the host's topic.
            count: 1 to 100.
            ids: Lease these events and no others, also while they are postponed.
            event_type: Lease only events of this type.
            channel: Lease only events in this channel.
            contains: Lease only events that contain these words.
            create_group: Make the group if it does not exist, even if the stream has others.
            since: Where the group that is made begins; by default at the oldest event.
            consumer: The consumer that leases; by default the caller's own name.
            wait_seconds: Up to 20; how long to wait when there is nothing; not for chosen ones.
            max_chars: 500 to 200,000; how many characters of payload to return at most; None: all.
        """
        self.agent_leases.touch()
        name = self._checked(
            stream, group, consumer, count=count, wait_seconds=wait_seconds, max_chars=max_chars
        )
        wanted = Filter.of(self._scope.limits, event_type=event_type, channel=channel, contains=contains)
        chosen = list(dict.fromkeys(check_id("An id", one) for one in ids))
        check_range("The number of ids", len(chosen), 0, MAX_COUNT)
        _check_choice(chosen, wanted, wait_seconds=wait_seconds, since=since, create_group=create_group)
        holder, limits = self.holder(consumer), self._scope.limits
        limits.check_group(group, name)
        if since is not None:
            limits.check_start(group)
        async with self._open(name) as found:
            if not found.exists:
                return await self._answered(
                    ReadResult(stream=name, mode="lease", events=[]), found, max_chars
                )
            start = None if since is None else await position(found.redis, name, since)
            making = self._made(found.redis, name, group, create=create_group, start=start)
            is_new = await tasks.to_its_end(making, within=END_SECONDS)
            await self._scope.check_not_paused(found.redis, name, group)
            asked = len(chosen) or count
            with limits.granted(asked) as grant:
                async with self.agent_leases.returning_unseen(
                    name, group, holder, own_name=self._is_own(holder)
                ) as taken:
                    place = {"stream": name, "group": group, "consumer": consumer}
                    try:
                        connections = await self._backend.connections()
                        most = grant.events
                        if chosen or wanted.is_given:
                            async with limits.turn():
                                result = await leasing.take_chosen(
                                    *(connections, self._settings, taken),
                                    ids=chosen[:most],
                                    wanted=wanted,
                                    count=most,
                                )
                        else:
                            result = await leasing.take(
                                *(connections, self._settings, taken, limits),
                                count=most,
                                wait_seconds=wait_seconds,
                            )
                    except BaseException as error:  # what is leased goes back; what is buried stays so
                        buried = {"buried": taken.buried, "uncertain": taken.perhaps_buried}
                        noting = self._scope.note("lease_events", **place, **buried)
                        await tasks.to_its_end(noting, within=END_SECONDS)
                        if not (taken.perhaps_buried and isinstance(error, failures.FAILURES)):
                            raise
                        raise failures.uncertain(
                            error,
                            self._settings,
                            doing=f"burying what cannot be decoded of {name!r}",
                            about=taken.perhaps_buried,
                            look=command("dead list", name),
                            within=None,
                        ) from None
                    if grant.events < asked and (chosen or len(taken.ids) == grant.events):
                        result.note += f" {limits.about_grant(grant.events, asked)}"
                    if since is not None and not is_new:
                        result.note += " The group was there already, so since changes nothing."
                    await self._scope.note("lease_events", **place, ids=taken.ids, buried=taken.buried)
                    await self._note_person(found.redis, name, group, holder, taken.ids)
                    answer = await self._answered(result, found, max_chars, group=group)
                    grant.taken = len(taken.ids)
                    return answer

    async def _note_person(
        self, redis: Redis, stream: str, group: str, holder: str, ids: Sequence[str]
    ) -> None:
        """Note that a person has these events, if the name of their holder is like a worker's."""
        if ids and kind_of(holder) == "worker":
            with suppress(*failures.FAILURES):  # the events are leased all the same
                await hold_times.note_person(redis, stream, group, holder)

    async def _made(
        self, redis: Redis, stream: str, group: str, *, create: bool | None, start: str | None
    ) -> bool:
        """Make a group if the caller may and it is not there, record that, and return whether it was made."""
        try:
            made = await self._scope.find_group(redis, stream, group, create=create, start=start)
            if made:
                await self._scope.note("lease_events", stream=stream, created_group=group)
        except failures.FAILURES as error:
            if failures.is_lost(error):
                await self._scope.note("lease_events", stream=stream, uncertain=[group])
            raise
        return made


def _check_choice(
    ids: Sequence[str], wanted: Filter, *, wait_seconds: float, since: str | None, create_group: bool
) -> None:
    """Refuse a choice of events to lease that contradicts itself.

    Raises:
        RequestError: It does.
    """
    if ids and wanted.is_given:
        raise InvalidArgumentError(
            "Choose events to lease by ids, or by event_type, channel and contains; not both."
        )
    if wait_seconds and (ids or wanted.is_given):
        raise InvalidArgumentError(
            "A lease waits only for the group's next event: leave out wait_seconds, or what chooses events."
        )
    if since is not None and not create_group:
        raise InvalidArgumentError(
            "since says where a group begins that this call makes: set create_group, too."
        )
