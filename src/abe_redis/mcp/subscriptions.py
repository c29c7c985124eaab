"""Notifying clients about changes of resources: on both lines of the SDK, in both eras of the protocol.

Until 2025-11-25 a client subscribes to each resource (`resources/subscribe`). Since 2026-07-28 it opens one
stream for all its subscriptions (`subscriptions/listen`). Redis does not notify anyone of a changed stream,
so this module polls the resources that have subscribers, and no others, once a second at most.

A line says what changed. It is in the notification's `_meta`, and in the resource itself, for clients that
pass on only its URI.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import anyio

from abe_redis.errors import AbeRedisError, RequestError
from abe_redis.mcp.changes import Followed
from abe_redis.mcp.client_identity import caller
from abe_redis.mcp.refusals import protocol_error
from abe_redis.mcp.sdk_line import SDK_2
from abe_redis.schemas import EventView, StreamStats

_LOG = logging.getLogger(__name__)

type _Looks = dict[str | None, list[StreamStats] | None]
"""By stream, or None for all: what a round of looks has seen."""

_AGAIN = "Redis answers again"
CHANGED = "io.github.chisanan232.abe-redis/changed"
"""The name of the line in the `_meta` of a notification."""

_EVERY_SECONDS = 1.0
_MOST_OF_THE_TIME = 0.1
"""Largest share of the time that polling takes, with any number of subscriptions."""
_PATIENCE_SECONDS = 2.0
"""Time for which a client that does not read can delay notifications to the others."""
_MOST, _MOST_OF_ONE = 1000, 100
"""Most resources that all clients together follow, and most of one client: each costs a look."""


class Queue(Protocol):
    """The view of the queue that subscriptions read."""

    async def look(self, stream: str | None) -> list[StreamStats]:
        """The state of a stream, or of all.

        Raises:
            RequestError: There is no such stream.
        """

    async def newest(self, stream: str, count: int) -> list[EventView]:
        """The newest events of a stream."""


@dataclass(frozen=True, slots=True)
class Change:
    """A change of a resource, and when it was seen."""

    line: str
    at: datetime


class Subscriptions:
    """The subscribers of each resource, and its state at the last notification."""

    def __init__(
        self, queue: Queue, check: Callable[[str], Awaitable[None]], *, every_seconds: float = _EVERY_SECONDS
    ) -> None:
        self._queue = queue
        self._check = check
        """Refuses a resource that the caller may not follow."""
        self._every_seconds = every_seconds
        self._subscribed: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()
        """By connection, which a client may abandon silently."""
        self._listened: Counter[str] = Counter()
        self._listeners: dict[Hashable, Counter[str]] = {}
        """By client, of whose streams each is a request of its own."""
        self._told: dict[str, list[StreamStats] | None] = {}
        """By URI: the state at the last notification; None if Redis did not tell it."""
        self._changes: dict[Followed, Change] = {}
        """The last change of each resource that has subscribers."""
        self._someone = anyio.Event()
        self._bus: Any = None

    def last_change(self, followed: Followed) -> Change | None:
        """The subject of the last notification of a resource; None if there was none."""
        return self._changes.get(followed)

    def serve(self, server: Any) -> None:  # noqa: ANN401 - the SDK's own server, of either line
        """Answer what clients ask for."""
        if SDK_2:
            self._serve_2(server)
        else:
            self._serve_1(server)

    async def run(self) -> None:
        """Poll, and notify subscribers, until cancelled."""
        pause = self._every_seconds
        while True:
            await self._someone.wait()
            await anyio.sleep(pause)
            began = time.monotonic()
            wanted = self._wanted()
            self._told = {uri: seen for uri, seen in self._told.items() if uri in wanted}
            followed = {Followed.by(uri) for uri in wanted}
            self._changes = {one: change for one, change in self._changes.items() if one in followed}
            if not wanted:
                self._someone = anyio.Event()
            looks: _Looks = {}
            for uri in wanted:
                await self._look(uri, looks)
            pause = max(self._every_seconds, (time.monotonic() - began) / _MOST_OF_THE_TIME)

    def _wanted(self) -> set[str]:
        return {uri for uris in list(self._subscribed.values()) for uri in uris} | set(+self._listened)

    async def _begin(self, uris: Iterable[str]) -> None:
        """Remember the present state of resources, so that only later changes are notified."""
        for uri in uris:
            if uri not in self._told:
                self._told[uri] = await self._now(uri, {})
        self._someone.set()

    async def _look(self, uri: str, looks: "_Looks") -> None:
        followed = Followed.by(uri)
        now = await self._now(uri, looks)
        if followed is None or now is None or uri not in self._told:  # its first look goes on
            return
        before = self._told[uri]
        self._told[uri] = now
        if before is None or followed.state(now) != followed.state(before):
            line = _AGAIN if before is None else await self._line_about(followed, before, now)
            self._changes[followed] = Change(line, datetime.now(UTC))
            await self._tell(uri, line)

    async def _line_about(self, followed: Followed, before: list[StreamStats], now: list[StreamStats]) -> str:
        from abe_redis.client import failures  # noqa: PLC0415 - as below

        try:
            return await followed.line(before, now, self._queue.newest)
        except (*failures.FAILURES, AbeRedisError):
            return "changed"  # and Redis did not tell more

    async def _now(self, uri: str, looks: "_Looks") -> list[StreamStats] | None:
        """The state of what a URI names; groups of one stream share a look at it."""
        if (followed := Followed.by(uri)) is None:
            return None
        if followed.stream not in looks:
            looks[followed.stream] = await self._seen(followed.stream)
        return looks[followed.stream]

    async def _seen(self, stream: str | None) -> list[StreamStats] | None:
        from abe_redis.client import failures  # noqa: PLC0415 - redis-py, which a start does without

        try:
            return await self._queue.look(stream)
        except RequestError:
            return []  # not there, or not yet
        except (*failures.FAILURES, AbeRedisError) as error:
            _LOG.debug("%s could not be looked at: %s", stream or "the queue", type(error).__name__)
            return None

    async def _tell(self, uri: str, line: str) -> None:
        for connection, uris in list(self._subscribed.items()):
            if uri in uris:
                try:
                    with anyio.move_on_after(_PATIENCE_SECONDS):
                        await _notify(connection, uri, {CHANGED: line})
                except (anyio.BrokenResourceError, anyio.ClosedResourceError):
                    self._subscribed.pop(connection, None)
        if self._bus is not None:
            from mcp.server.subscriptions import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
                ResourceUpdated,
            )

            await self._bus.publish(ResourceUpdated(uri=uri))

    def _line(self, uri: str) -> str | None:
        followed = Followed.by(uri)
        change = None if followed is None else self._changes.get(followed)
        return None if change is None else change.line

    async def _allowed(self, uris: Iterable[str], own: Callable[[], set[str]]) -> None:
        """Refuse, in a sentence, a subscription that the caller may not have, or that is one too many.

        Args:
            uris: What it would follow.
            own: Returns what this client follows already.
        """
        try:
            for uri in uris:
                await self._check(uri)
            for there, who, most in ((own(), "you", _MOST_OF_ONE), (self._wanted(), "all clients", _MOST)):
                if len({*there, *uris}) > max(most, len(there)):
                    raise RequestError(
                        f"Nothing more is followed: {who} would follow more than {most} resources of this "
                        "server. Unsubscribe from some, or follow abe-redis://overview, which is all streams."
                    )
        except AbeRedisError as error:
            raise protocol_error(error) from None

    async def _subscribe(self, connection: Any, uri: str) -> None:  # noqa: ANN401 - as below
        await self._allowed([uri], lambda: self._subscribed.get(connection, set()))
        self._subscribed.setdefault(connection, set()).add(uri)
        await self._begin([uri])

    def _unsubscribe(self, connection: Any, uri: str) -> None:  # noqa: ANN401 - as below
        self._subscribed.get(connection, set()).discard(uri)

    @asynccontextmanager
    async def _listening(self, uris: list[str], who: Hashable) -> AsyncIterator[None]:
        """Follow resources for the duration of a block, as one of several streams of a client."""
        await self._allowed(uris, lambda: set(+self._listeners.get(who, Counter())))
        client = self._listeners.setdefault(who, Counter())
        for one in (client, self._listened):
            one.update(uris)
        try:
            await self._begin(uris)
            yield
        finally:
            for one in (client, self._listened):
                one.subtract(uris)
            if not +client:
                self._listeners.pop(who, None)

    def _serve_1(self, server: Any) -> None:  # noqa: ANN401 - the SDK's
        lowlevel = server._mcp_server  # noqa: SLF001 - there is no other way to it
        announced = lowlevel.get_capabilities

        async def subscribe(uri: Any) -> None:  # noqa: ANN401 - pydantic's
            await self._subscribe(lowlevel.request_context.session, str(uri))

        async def unsubscribe(uri: Any) -> None:  # noqa: ANN401 - pydantic's
            self._unsubscribe(lowlevel.request_context.session, str(uri))

        def get_capabilities(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401 - the SDK's
            capabilities = announced(*arguments, **more)
            capabilities.resources.subscribe = True  # which 1.x never says
            return capabilities

        lowlevel.subscribe_resource()(subscribe)
        lowlevel.unsubscribe_resource()(unsubscribe)
        lowlevel.get_capabilities = get_capabilities

    def _serve_2(self, server: Any) -> None:  # noqa: ANN401 - the SDK's
        from mcp import types  # noqa: PLC0415
        from mcp.server.subscriptions import (  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415
            InMemorySubscriptionBus,
            ListenHandler,
        )

        known = vars(types)  # by names that 1.x does not have
        self._bus = InMemorySubscriptionBus()
        streams = ListenHandler(self._bus)

        async def subscribe(context: Any, wanted: Any) -> Any:  # noqa: ANN401 - the SDK's
            # A session lives for one request; what it belongs to lives as long as the client is there.
            await self._subscribe(context.session._connection, str(wanted.uri))  # noqa: SLF001
            return types.EmptyResult()

        async def unsubscribe(context: Any, wanted: Any) -> Any:  # noqa: ANN401 - the SDK's
            self._unsubscribe(context.session._connection, str(wanted.uri))  # noqa: SLF001
            return types.EmptyResult()

        async def listen(context: Any, wanted: Any) -> Any:  # noqa: ANN401 - the SDK's
            uris = list(wanted.notifications.resource_subscriptions or [])
            async with self._listening(uris, _client_of(context)):
                told = _WithLines(context.session, self._line)
                return await streams(replace(context, session=told), wanted)

        for method, parameters, handler in (
            ("resources/subscribe", "SubscribeRequestParams", subscribe),
            ("resources/unsubscribe", "UnsubscribeRequestParams", unsubscribe),
            ("subscriptions/listen", "SubscriptionsListenRequestParams", listen),
        ):
            server._lowlevel_server.add_request_handler(method, known[parameters], handler)  # noqa: SLF001


def _client_of(context: Any) -> Hashable:  # noqa: ANN401 - of the SDK's own server
    return caller(SimpleNamespace(request_context=context, protocol_version=context.protocol_version))


async def _notify(connection: Any, uri: str, meta: dict[str, str]) -> None:  # noqa: ANN401 - of either line
    if SDK_2:
        await connection.send_resource_updated(uri, meta=meta)
        return
    from mcp import types  # noqa: PLC0415

    parameters: Any = types.ResourceUpdatedNotificationParams
    notification = types.ResourceUpdatedNotification(params=parameters(uri=uri, _meta=meta))
    await connection.send_notification(types.ServerNotification(notification))


class _WithLines:
    """A session of 2.x whose notifications say what changed, which the SDK's own do not."""

    def __init__(self, session: Any, line: Callable[[str], str | None]) -> None:  # noqa: ANN401 - the SDK's
        self._session = session
        self._line = line

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the session's
        return getattr(self._session, name)

    async def send_notification(self, notification: Any, related_request_id: Any = None) -> None:  # noqa: ANN401
        uri = getattr(notification.params, "uri", None)
        if uri is not None and (line := self._line(uri)) is not None:
            said = {**(notification.params.meta or {}), CHANGED: line}
            parameters = notification.params.model_copy(update={"meta": said})
            notification = notification.model_copy(update={"params": parameters})
        await self._session.send_notification(notification, related_request_id=related_request_id)
