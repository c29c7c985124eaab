"""The scope of requests: streams that the settings name, existing groups, and the audit."""

import logging
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from secrets import token_hex

from redis.asyncio import Redis

from abe_redis.backend import RedisMessageQueueBackend
from abe_redis.client import failures
from abe_redis.errors import AbeRedisError, InvalidArgumentError, RequestError
from abe_redis.inspection.stats import stream_stats
from abe_redis.inspection.topic_groups import name_groups
from abe_redis.operations import group_making, recording, topics
from abe_redis.operations.caller_limits import Limits
from abe_redis.runtime.likeness import did_you_mean
from abe_redis.runtime.plurals import first_of
from abe_redis.runtime.shell import command, option
from abe_redis.sanitize.untrusted import quoted
from abe_redis.schemas import StreamStats
from abe_redis.schemas.stats import is_agent, is_person
from abe_redis.streams import brief, manage, names, peek, slots
from abe_redis.streams.find_streams import announced, existing
from abe_redis.streams.groups import ensure_group
from abe_redis.streams.patterns import Narrowed, Patterns
from abe_redis.streams.unfinished import is_recorded

_LOG = logging.getLogger(__name__)


class Scope:
    """Gives access to the streams that `REDIS_STREAM_PATTERNS` names, and to no others."""

    def __init__(
        self,
        backend: RedisMessageQueueBackend,
        *,
        streams: Sequence[str] = (),
        origin: recording.Origin | None = None,
        who: str | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Create a scope without I/O.

        Args:
            backend: The backend to operate on.
            streams: Names and patterns that restrict the streams further.
            origin: Where changes come from; without it they are not written to the audit.
            who: Who makes them; by default the person who runs this process.
            limits: What the caller may do; by default everything.
        """
        self.limits = limits or Limits()
        self._origin = origin
        self._who = who
        self._backend = backend
        self.settings = backend.settings
        self.refused: set[str] = set()
        """Checks of the server that this user may not run, so that they are tried once."""
        self._run = {"run": token_hex(8)}
        """For the audit, which shows the batches of a run as one change."""
        self._patterns = Narrowed(backend.patterns, streams) if streams else backend.patterns
        self._narrowed = ", and narrowed by --streams" if streams else ""

    @property
    def patterns(self) -> Patterns:
        """The streams that the caller may touch at present."""
        return self.limits.narrowed(self._patterns)

    @asynccontextmanager
    async def redis(self, doing: str) -> AsyncIterator[Redis]:
        """The client. Its errors become sentences about `doing`."""
        with failures.explained(self.settings, doing=doing):
            connections = await self._backend.connections()
            await connections.check()
            yield connections.commands

    async def note(self, what: str, **facts: object) -> None:
        """Write a change to the audit, if there was one; a failure is logged, since the change was made."""
        if self._origin is None:
            return
        facts |= self.limits.facts() | (self._run if what in recording.IN_BATCHES else {})
        try:
            redis = (await self._backend.connections()).commands
            await recording.note_change(redis, self._who or recording.person(), what, facts, self._origin)
        except (*failures.FAILURES, AbeRedisError) as error:
            sentence = failures.explain(error, self.settings, doing="writing down what was changed")
            _LOG.warning("%s It was done all the same: %s (%s).", sentence, what, recording.brief(facts))

    @property
    def _default(self) -> str:
        """The host's topic; the first stream that the settings name, when the host is not Slack's."""
        topic = self.settings.slack_events_topic
        named = () if self._backend.patterns.match(topic) else self._backend.patterns.literals
        return next(iter(named), topic)

    def allowed(self, stream: str | None) -> str:
        """The stream, or its dead letters, or by default the host's topic.

        Raises:
            RequestError: The settings do not name it.
        """
        name = names.check_text(stream, "stream") if stream is not None else self._default
        home = names.home_of(name)
        if self._patterns.match(home):
            self.limits.check_stream(home, self._patterns)
            return name
        default = "" if stream is not None else ", which is the default: name another with stream"
        near = did_you_mean(name, self.patterns.literals)
        ours = f"{self.patterns} (set by REDIS_STREAM_PATTERNS{self._narrowed})"
        said = f"No stream {name!r} belongs to this queue{default}.{near} Its streams are"
        if self._origin == "mcp":
            said = f"The stream {name!r} is not one this server may touch{default}.{near} Allowed are"
        raise RequestError(f"{said}: {ours}.")

    def exact(self, stream: str) -> str:
        """The stream, unless its name reads like a pattern and it is not the host's topic.

        Raises:
            InvalidArgumentError: It does.
        """
        if re.search(r"[*?\[\]]", stream) and stream != self._default:
            raise InvalidArgumentError(
                f"{stream!r} reads like a pattern, and an event goes to one stream: give its name, without "
                "*, ?, [ and ]."
            )
        return stream

    async def is_new(self, stream: str) -> bool:
        """Whether a stream has one event and no group, and only a pattern of the settings names it."""
        if stream in self._backend.patterns.literals:
            return False
        with suppress(AbeRedisError):  # the event is there
            async with self.redis(f"looking at {stream!r}") as redis:
                if await peek.kind(redis, stream) == "stream":
                    length, groups = await brief.brief(redis, stream)
                    return length == 1 and not groups
        return False

    def consumable(self, stream: str | None) -> str:
        """As `allowed`, but dead letters are refused.

        Raises:
            RequestError: The settings do not name it, or it holds dead letters.
        """
        name = self.allowed(stream)
        if names.is_dead_letters(name):
            raise RequestError(
                f"{name!r} holds dead letters; name the stream that they come from, "
                f"{names.buried_from(name)!r}."
            )
        return name

    async def choice(self, redis: Redis) -> str:
        """A sentence that names the existing streams."""
        return _those(await existing(redis, self.patterns))

    async def absence(self, redis: Redis, stream: str, *, do: topics.ForPart | None = None) -> str:
        """A sentence about a missing stream that names the existing ones.

        Args:
            redis: The client.
            stream: The stream.
            do: What the caller would do in one of its partitions, if it is a topic.
        """
        found = await existing(redis, self.patterns)
        if names.is_dead_letters(stream):
            stream = names.buried_from(stream)
            if stream in found:
                return f"{stream!r} has no dead letters."
        if parts := topics.in_order(names.parts_of(stream, found)):
            instead = self.together(stream) if do is None else f"Name one: {do(parts[0])}."
            return (
                f"{stream!r} is spread over partitions, which are streams of their own: {_listed(parts)}. "
                f"{instead}"
            )
        return f"The stream {stream!r} does not exist (yet).{did_you_mean(stream, found)} {_those(found)}"

    @property
    def is_agents(self) -> bool:
        """Whether an agent asks, which calls tools instead of commands."""
        return self._origin == "mcp"

    def together(self, topic: str) -> str:
        """A sentence on how to look at the partitions of a topic."""
        if self.is_agents:
            name = quoted(topic, most=512)
            return (
                f"Name one as stream; stream_stats(stream={name}) shows all, and count_events(stream={name}) "
                "counts their events together."
            )
        return (
            f"Name one; `{command('stats', topic)}` shows all of them, `{command('count', topic)}` counts "
            f"their events together, and `{command('read', topic, options='--lines')}` prints these."
        )

    async def check_exists(self, redis: Redis, stream: str, *, do: topics.ForPart | None = None) -> None:
        """Refuse a stream that does not exist; the arguments are those of `absence`.

        Raises:
            RequestError: There is no such stream.
        """
        kind = await peek.kind(redis, stream)
        if kind == "none":
            raise RequestError(await self.absence(redis, stream, do=do))
        if kind != "stream":
            raise RequestError(f"{stream!r} is a {kind}, not a stream. {await self.choice(redis)}")

    def dead_list(self, stream: str | None) -> str:
        """A sentence about how the caller finds existing dead letters."""
        if self._origin == "mcp":
            return "read_stream with dead=true shows those there are."
        where = () if stream is None else (stream,)
        return f"`{command('dead list', *where)}` shows those there are."

    async def check_known(self, redis: Redis, stream: str, *, do: topics.ForPart | None = None) -> None:
        """Refuse a stream that has neither entries nor dead letters; the arguments are those of `absence`.

        Raises:
            RequestError: There is no such stream.
        """
        if await peek.kind(redis, names.dead_letters(stream)) != "stream":
            await self.check_exists(redis, stream, do=do)

    async def stats(
        self, redis: Redis, stream: str | None, *, ages: bool = False, parts_too: bool = False
    ) -> list[StreamStats]:
        """The state of one stream, or of all whose node is not away.

        Args:
            redis: The client.
            stream: Only this one.
            ages: Also that of each group's pending entries.
            parts_too: With the partitions of its topic.

        Raises:
            RequestError: There is no such stream.
        """
        named = list[str]()
        if stream is not None:
            named = await topics.streams(redis, self.patterns, stream) if parts_too else []
            if not named:
                await self.check_exists(redis, stream)
                named = [stream]

        async def look() -> list[StreamStats]:
            every = named or await existing(redis, self.patterns, here=True)
            found = [await stream_stats(redis, name, self.settings, ages=ages) for name in every]
            return [stats for stats in found if stats is not None]

        found = await look() if stream is not None else await slots.without_away(redis, look)
        await name_groups(redis, found, self.settings, self.patterns.match)
        return found

    async def find_group(
        self, redis: Redis, stream: str, group: str, *, create: bool | None, start: str | None = None
    ) -> bool:
        """Check that a group exists, or create it.

        A typo must not create a group, which would deliver finished work again. So a group is created only if
        the stream has none yet, or on request (`create`); with None it never is. It begins at the position
        `start`, by default at the oldest event.

        Returns:
            Whether it was created.

        Raises:
            RequestError: It does not exist, or cannot be created.
        """
        if names.is_dead_letters(stream):
            raise RequestError(
                f"{stream!r} holds dead letters, which are looked at but not leased: leave out group."
            )
        groups = await peek.groups(redis, stream)
        if group in groups:
            return False
        may = self.limits.may_create(group, first=not groups)
        if create is None or (groups and not create) or not may:
            destroyed = await is_recorded(redis, stream, group)
            known = f"Its groups: {_listed(groups)}." if groups else "It has no group yet."
            how = "add --create-group" if self._origin == "cli" else "set create_group"
            whose = "This server does not allow create_group" if create else "Agents may not make it"
            offer = group_making.offer(
                stream, group, how=how if may else None, whose=whose, destroyed=destroyed
            )
            known = group_making.DESTROYED if destroyed else known
            known += await topics.having(redis, self.patterns, stream, group)
            raise RequestError(
                f"The stream {stream!r} has no group {group!r}. {known}{'' if create is None else offer}"
            )
        if start is None:
            await ensure_group(redis, [stream], group)
        else:
            await group_making.make(redis, stream, group, start, is_agent=True)
        return True

    async def workers(self, redis: Redis, stream: str, group: str) -> dict[str, bool]:
        """The workers of a group, and whether each is alive; and the people whose lease lasts.

        A worker that is not may come back, as after a deploy: the group's events are its work all the same.

        Raises:
            redis.ResponseError: There is no such group.
        """
        lease_seconds = self.settings.redis_stream_lease_seconds
        found = await peek.consumers(redis, stream, group, lease_seconds=lease_seconds)
        found = {name: alive for name, alive in found.items() if alive or not is_person(name)}
        return {name: alive for name, alive in found.items() if not is_agent(name)}

    async def had_workers(self, redis: Redis, stream: str, group: str) -> bool:
        """Whether a group has ever had workers, here or in another stream of these patterns.

        Its events are their work, also while all are gone, and where they have not come yet.
        """
        if await manage.had_workers(redis, [stream], group):
            return True
        others = [one for one in await announced(redis, 0) if self.patterns.match(one)]
        return await manage.had_workers(redis, others, group)

    async def check_not_paused(self, redis: Redis, stream: str, group: str) -> None:
        """Refuse a lease in a group that is paused.

        Raises:
            RequestError: It is.
        """
        if await manage.is_paused(redis, stream, group):
            look = command("read", stream, options=f"{option('--group', group)} --waiting")
            raise RequestError(
                f"The group {group!r} of {stream!r} is paused: its events are not delivered until it is "
                f"resumed. `{look}` shows what waits in it."
            )


_MOST_LISTED = 20


def _those(found: Sequence[str]) -> str:
    if not found:
        return "No stream exists yet: nothing was published."
    return f"Streams that exist: {_listed(found)}."


def _listed(found: Sequence[str]) -> str:
    """Quoted names for a sentence."""
    return first_of(found, _MOST_LISTED)
