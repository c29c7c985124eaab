"""Settling leased events by hand: ack, release, bury."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from redis.asyncio import Redis

from abe_redis.operations import topics
from abe_redis.operations.agent_leases import AgentLeases, Rest
from abe_redis.operations.caller_limits import Named
from abe_redis.operations.changing import changing
from abe_redis.operations.checks import check_id, check_range
from abe_redis.operations.places import Place
from abe_redis.operations.scope import Scope
from abe_redis.runtime.shell import command, option
from abe_redis.schemas import MAX_COUNT, AckResult, ReleaseResult
from abe_redis.streams import acks, dead, names, peek, renewal
from abe_redis.streams.choose import take_these
from abe_redis.streams.release import postpone


@dataclass(frozen=True, slots=True)
class Concerned:
    """Who is affected by a settlement, in one group of a stream."""

    stream: str
    group: str
    held: list[str]
    """Those of the events that the caller holds; other events are not touched."""
    workers: dict[str, bool]
    """The workers of the group, and whether each is alive; and the people whose lease lasts."""
    had_workers: bool
    """Whether the group ever had workers; those that were stopped in order leave no consumer behind."""

    @property
    def is_shared(self) -> bool:
        """Whether these events are the work of others, too."""
        return bool(self.workers) or self.had_workers


@dataclass(frozen=True, slots=True)
class Settlement:
    """Settles events that one caller holds, and no others."""

    scope: Scope
    agent_leases: AgentLeases
    own: str
    """The consumer name of the caller, if it gives none."""
    by_name: bool
    """A person may settle under any consumer name. An agent may under its own only, and what it leased here
    under another one: a name proves nothing, since everyone can see which consumer holds what."""

    async def ack(self, stream: str, place: Place, *, force: bool = False) -> AckResult:
        """Ack events; see `Operations.ack`."""
        group, holder = place.group, place.consumer
        ids = self._checked(stream, group, place.ids)
        leases = self.agent_leases.kept(stream, group, holder, ids)
        facts: dict[str, object] = {"stream": stream, "group": group, "consumer": place.named}
        facts |= {"force": True} if force else {}
        doing, look = f"acknowledging in {stream!r}", _held_of(stream, group)
        async with changing(self.scope, "ack", doing=doing, look=look, **facts) as change:
            by = await self._whose(change.redis, stream, group, holder, ids)
            free = await self._free(change.redis, stream, group, by)
            if free and force and self.by_name:
                await self._take(change.redis, stream, group, holder, by, free)
                free = []
            kept = await self._agree(change.redis, stream, group, by, is_shared=True)
            mine = by.pop("done", [])

            def note(outcomes: list[renewal.Outcome], was_lost: bool) -> None:  # noqa: FBT001 - of a step
                for one, outcome in zip(mine, outcomes, strict=True):
                    is_done = outcome == "done" or (was_lost and outcome == "unknown")
                    (change.done if is_done else by.setdefault(outcome, [])).append(one)
                change.facts["ids"] = change.done
                self.agent_leases.forget(group, holder, leases, but=set(ids).difference(change.done))

            if mine:
                entries = [(stream, one) for one in mine]
                how = {"own": self.by_name, "by_hand": self._is_by_hand(holder)}
                acking = partial(acks.ack, change.redis, group, holder, entries, **how)
                await change.step(acking, mine, note)
        self.agent_leases.forget(group, holder, leases, but=kept)
        return AckResult(
            stream=stream,
            group=group,
            acked=change.done,
            not_held=by.get("not_held", []),
            free=free,
            unknown=by.get("unknown", []),
        )

    async def release(
        self,
        stream: str,
        place: Place,
        *,
        delay_seconds: float,
        bury: str | None,
        reason: str | None = None,
        force: bool = False,
    ) -> ReleaseResult:
        """Release or bury events; see `Operations.release`."""
        group, holder = place.group, place.consumer
        ids = self._checked(stream, group, place.ids)
        leases = self.agent_leases.kept(stream, group, holder, ids)
        why = f"{self.own} {'gave no reason' if reason is None else f'says: {reason}'}"
        still = list[str]()
        facts = {"stream": stream, "group": group, "consumer": place.named, "delay_seconds": delay_seconds}
        facts["reason"] = reason if bury is None else bury
        facts |= {"force": True} if force else {}
        doing = f"{'giving back' if bury is None else 'burying'} events of {stream!r}"
        look = _held_of(stream, group) if bury is None else command("dead list", stream)
        async with changing(self.scope, "release", doing=doing, look=look, **facts) as change:
            redis = change.redis
            change.facts["ids" if bury is None else "buried"] = change.done
            by, postponed = await self._whose(redis, stream, group, holder, ids), set[str]()
            free = await self._free(redis, stream, group, by, but_postponed=self.by_name and bury is None)
            if self.by_name and bury is None:
                wanted = free if force and delay_seconds else []
                free = [] if wanted else free
                postponed = await self._take_free(redis, stream, group, holder, by, wanted)
            kept = await self._agree(
                redis, stream, group, by, is_shared=delay_seconds > 0, is_final=bury is not None
            )
            for one in by.get("done", []):
                rest = self._rest(stream, group, holder, one)
                waits_on = bury is None and rest.seconds > delay_seconds
                let_go = (
                    partial(
                        dead.bury, redis, stream, group, holder, one, bury, by_hand=self._is_by_hand(holder)
                    )
                    if bury is not None
                    else partial(
                        postpone,
                        *(redis, stream, group, holder, one),
                        delay_seconds=max(delay_seconds, rest.seconds),
                        counted=False,
                        by_hand=self._is_by_hand(holder),
                        postponed=one in postponed,
                        own=not self.by_name,
                        reason=rest.reason(holder) if waits_on else why,
                    )
                )

                def note(
                    outcome: renewal.Outcome,
                    was_lost: bool,  # noqa: FBT001 - of a step
                    one: str = one,
                    waits_on: bool = waits_on,  # noqa: FBT001
                ) -> None:
                    is_done = outcome == "done"
                    if was_lost and not is_done:  # given back by the first try, it may be another's by now
                        change.doubt(one)
                    if is_done and waits_on:
                        still.append(one)
                    (change.done if is_done else by.setdefault(outcome, [])).append(one)
                    self.agent_leases.forget(group, holder, leases, but=set(ids).difference(change.done))

                await change.step(let_go, [one], note)
        self.agent_leases.forget(group, holder, leases, but=kept)
        return ReleaseResult(
            stream=stream,
            group=group,
            released=change.done if bury is None else [],
            still_postponed=still,
            buried=change.done if bury is not None else [],
            not_held=by.get("not_held", []),
            free=free,
            unknown=by.get("unknown", []),
        )

    def _is_by_hand(self, holder: str) -> bool:
        """Whether a person settles what somebody else, such as a worker, may have read ahead."""
        return self.by_name and holder != self.own

    def _rest(self, stream: str, group: str, holder: str, entry_id: str) -> Rest:
        """The rest of the delay that an agent leased an event out of; a person decides when it comes."""
        return Rest() if self.by_name else self.agent_leases.rest(stream, group, holder, entry_id)

    async def _take_free(
        self,
        redis: Redis,
        stream: str,
        group: str,
        holder: str,
        by: dict[renewal.Outcome, list[str]],
        free: list[str],
    ) -> set[str]:
        """Take what is postponed, and these free events, for a person; answer what is postponed."""
        lease_seconds = self.scope.settings.redis_stream_lease_seconds
        asked = by.get("not_held", [])
        rows = await peek.pending_of(redis, stream, group, asked, lease_seconds=lease_seconds)
        others = [*free, *(one for one in asked if one in rows and rows[one].state == "postponed")]
        if not others:
            return set()
        by["not_held"] = [one for one in asked if one not in others]
        taken = await take_these(
            *(redis, group, holder, stream, others), lease_seconds=lease_seconds, postponed=False
        )
        postponed = {one for one, why, _ in taken.others if why == "postponed"}
        got = postponed | {entry.id for entry in taken.leased}
        for one in others:
            by.setdefault("done" if one in got else "not_held", []).append(one)
        return postponed

    async def _free(
        self,
        redis: Redis,
        stream: str,
        group: str,
        by: dict[renewal.Outcome, list[str]],
        *,
        but_postponed: bool = False,
    ) -> list[str]:
        """Take out of these what nobody holds, and answer it.

        A person's own that is postponed is nobody's, either: a lease later it does not stand under their name
        any more.

        Args:
            redis: The client.
            stream: The stream.
            group: The group.
            by: The ids by their holder.
            but_postponed: Leave what is postponed where it is.
        """
        names_too = self.by_name and not but_postponed
        asked = by.get("not_held", []) + (by.get("done", []) if names_too else [])
        lease_seconds = self.scope.settings.redis_stream_lease_seconds
        rows = await peek.pending_of(redis, stream, group, asked, lease_seconds=lease_seconds)
        mine = set(by.get("done", []))
        free = {
            one.id
            for one in rows.values()
            if (one.state == "postponed" and not but_postponed) or (one.is_free and one.id not in mine)
        }
        for those in by.values():
            those[:] = [one for one in those if one not in free]
        return [one for one in asked if one in free]

    async def _take(
        self,
        redis: Redis,
        stream: str,
        group: str,
        holder: str,
        by: dict[renewal.Outcome, list[str]],
        free: list[str],
    ) -> None:
        """Lease what nobody holds to a person who settles it all the same."""
        lease_seconds = self.scope.settings.redis_stream_lease_seconds
        taken = await take_these(
            *(redis, group, holder, stream, free), lease_seconds=lease_seconds, postponed=True, counted=False
        )
        for one, why, _ in taken.others:
            by.setdefault("not_held" if why == "held" else "unknown", []).append(one)
        by.setdefault("done", []).extend(entry.id for entry in taken.leased)

    async def concerned(self, stream: str, group: str, ids: Sequence[str], holder: str) -> "Concerned":
        """Who would be affected by a settlement; changes nothing."""
        ids = self._checked(stream, group, ids)
        async with self.scope.redis(f"looking at what is leased in {stream!r}") as redis:
            by = await self._whose(redis, stream, group, holder, ids)
            held = by.get("done", [])
            if not held:
                return Concerned(stream, group, held, workers={}, had_workers=False)
            return await self._concerned(redis, stream, group, held)

    async def _concerned(self, redis: Redis, stream: str, group: str, held: list[str]) -> "Concerned":
        return Concerned(
            stream,
            group,
            held,
            workers=await self.scope.workers(redis, stream, group),
            had_workers=await self.scope.had_workers(redis, stream, group),
        )

    async def _agree(
        self,
        redis: Redis,
        stream: str,
        group: str,
        by: dict[renewal.Outcome, list[str]],
        *,
        is_shared: bool,
        is_final: bool = False,
    ) -> list[str]:
        """Keep only the events that the user has agreed to bury, or to settle where workers share the group.

        Returns:
            The others, which the caller goes on holding.

        Raises:
            RequestError: Nobody has agreed to anything.
        """
        held = by.get("done", [])
        if not held or not self.scope.limits.is_limited:
            return []
        if is_final or (is_shared and (await self._concerned(redis, stream, group, held)).is_shared):
            by["done"] = self.scope.limits.agreed([Named(stream, group, one) for one in held])
        return [one for one in held if one not in by["done"]]

    def _checked(self, stream: str, group: str, ids: Sequence[str]) -> list[str]:
        """The complete ids, each once."""
        self.scope.limits.check_group(group, stream)
        check_range("The number of ids", len(ids), 1, MAX_COUNT)
        full = list(dict.fromkeys(check_id("An id", one) for one in ids))
        names.check_group(group)
        return full

    async def _whose(
        self, redis: Redis, stream: str, group: str, holder: str, ids: Sequence[str]
    ) -> dict[renewal.Outcome, list[str]]:
        """The ids by their holder; `done` are those that the caller may settle."""
        await self.scope.check_exists(redis, stream, do=topics.of_event(ids[0], self.scope.is_agents))
        await self.scope.find_group(redis, stream, group, create=None)
        by: dict[renewal.Outcome, list[str]] = {}
        known = [one for one in ids if self.by_name or self.agent_leases.holds(stream, group, holder, one)]
        # What an agent has not leased here is its own only if it is pending under its own name.
        others = [one for one in ids if one not in known]
        for some, is_known in ((known, True), (others, False)):
            entries = [(stream, one) for one in some]
            outcomes = await renewal.whose(
                redis, group, holder, entries, by_name=self.by_name or not is_known
            )
            for one, outcome in zip(some, outcomes, strict=True):
                may = is_known or holder == self.own or outcome == "unknown"
                by.setdefault(outcome if may else "not_held", []).append(one)
        return by


def _held_of(stream: str, group: str) -> str:
    """The command that shows what is held in a group."""
    return command("read", stream, options=f"{option('--group', group)} --pending")
