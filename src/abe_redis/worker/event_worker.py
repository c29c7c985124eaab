"""The worker: handlers with concurrency, retries and burial.

Slack MCP Server's own consumers log a handler's exception and go on, so the event counts as done. An
`EventWorker` decides what a failure means, carries the decision out, and acks only events that succeeded.
"""

import logging
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from typing import Any, Protocol, override

import anyio
import anyio.lowlevel

from abe_redis.consuming.protocols import ConsumerProtocol, InFlightEvent
from abe_redis.errors import AbeRedisError, LeaseLostError, SettingsError
from abe_redis.events.event import Event
from abe_redis.events.log_fields import of_event
from abe_redis.observability import tracing
from abe_redis.observability.hooks import Outcome
from abe_redis.runtime.exception_groups import equal_failures_as_one
from abe_redis.sanitize.exceptions import describe, place, trace
from abe_redis.worker import failure_log
from abe_redis.worker.arguments import check_arguments, tell_of_origins
from abe_redis.worker.call import as_coroutine_function, call
from abe_redis.worker.decisions import decide
from abe_redis.worker.handlers import check_handler, name_of
from abe_redis.worker.handling_tasks import Handle, HandlingTasks
from abe_redis.worker.protocols import Queue
from abe_redis.worker.responses import respond
from abe_redis.worker.retry import Backoff, Bury, Decision, Drop, Policy, Retry
from abe_redis.worker.threads import current_slot
from abe_redis.worker.until_signal import run_until_signal

_LOG = logging.getLogger(__name__)

_MOST_STORED = 2000
"""Characters of a traceback that a dead letter keeps; its end, which says most."""


class HandlesEvents(Protocol):
    """An object whose method handles events."""

    def handle_event(self, event: Any, /) -> Awaitable[Any] | Any:  # noqa: ANN401 - as the `view` makes it
        """Handle one."""


type Handler = Callable[[Any], Awaitable[Any] | Any] | HandlesEvents
"""Called with the event (or the result of `view`); a plain function runs in a thread."""


class EventWorker(HandlingTasks):
    """Delivers the events of a group to a handler, several at the same time.

    It satisfies `EventConsumer` of abstract-backend: `run(handler)` and `shutdown()`.
    """

    def __init__(
        self,
        backend: Queue,
        handler: Handler | None = None,
        *,
        group: str | None = None,
        concurrency: int = 1,
        policy: Policy | None = None,
        handler_timeout: float | None = None,
        view: Callable[[Event], Any] | None = None,
        respond_to: str | None = None,
        drain_seconds: float = 25,
        ordered: bool = False,
        refuse_origins: Collection[str] = (),
    ) -> None:
        """Configure a worker.

        Args:
            backend: Where events come from.
            handler: A function, a coroutine function, or an object with `handle_event`; it can be
                given to `run` instead.
            group: The consumer group; by default `REDIS_STREAM_GROUP`.
            concurrency: Number of events that are handled at the same time.
            policy: What a failure means: called with the event and the exception, it returns `Retry`, `Bury`
                or `Drop`; by default `Backoff()`, which also decides if the policy itself fails. At delivery
                `REDIS_STREAM_MAX_DELIVERIES`, or the last that a `Backoff` allows, a `Retry` buries.
            handler_timeout: Seconds after which a coroutine handler is cancelled, which is a failure; by
                default it has no limit. A function cannot be stopped: the log names it, and it keeps its
                place until it ends, and its event for at most `REDIS_STREAM_MAX_HANDLING_SECONDS`.
            view: Makes the handler's argument from the event. By default that is the whole `Event`, Slack's
                envelope included; with `slack_event` it is the Slack event inside, as in `abe-redis worker`.
            respond_to: A stream to which the handler's result is published, with the id of its event. While
                Redis does not take it, the event keeps its place and its lease, and is not handled again,
                unless the worker ends or loses its lease.
            drain_seconds: How long `shutdown` waits for handlers that are at work.
            ordered: Whether the events of one conversation in a topic are handled one at a time, in the order
                in which they were published. All workers of the group must then be ordered.
            refuse_origins: Events that came from one of these, as `mcp` for what an agent published, are
                buried instead of handled, so that they can be looked at.
        """
        check_arguments(
            backend,
            group=group,
            concurrency=concurrency,
            policy=policy,
            view=view,
            handler_timeout=handler_timeout,
            drain_seconds=drain_seconds,
            respond_to=respond_to,
            ordered=ordered,
            refuse_origins=refuse_origins,
        )
        if handler is not None:
            check_handler(handler, name_of(handler))
        super().__init__(concurrency)
        self._backend = backend
        self._handler = handler
        self._group = group
        self._policy: Policy = Backoff() if policy is None else policy
        self._most_deliveries = backend.settings.redis_stream_max_deliveries
        if isinstance(policy, Backoff) and policy.deliveries is not None:
            self._most_deliveries = max(self._most_deliveries, policy.deliveries)
        self._timeout = handler_timeout
        self._view = (lambda event: event) if view is None else view
        self._respond_to = respond_to
        self._drain_seconds = drain_seconds
        self._ordered = ordered
        self._refused = frozenset(refuse_origins)
        self.handled = 0
        """Deliveries whose handler succeeded."""
        self.failed = 0
        """Deliveries whose handler failed."""

    async def run(self, handler: Handler | None = None) -> None:
        """Handle events until `shutdown` is called or the backend is closed.

        Raises:
            AbeRedisError: Redis refused for a reason that waiting does not fix.
        """
        chosen = self._handler if handler is None else handler
        if chosen is None:
            raise SettingsError("An EventWorker needs a handler: give it one, or give one to run().")
        self._name = name_of(chosen)
        check_handler(chosen, name_of(chosen), view=self._view)
        called: Any = chosen
        handle = as_coroutine_function(getattr(called, "handle_event", called))
        tell_of_origins(sorted(self._refused))
        consume = self._backend.consume_ordered if self._ordered else self._backend.consume
        events = consume(group=self._group)
        events.behind.allow(self._most_deliveries)
        tracing.trace_if_wanted()
        events.behind.on_connected = partial(
            _LOG.info,
            "Consumer %r of group %r handles events of %s at %s, %d at a time.",
            *(events.consumer, events.behind.group, self._backend.patterns.with_partitions),
            *(self._backend.settings.redis_url, self._concurrency),
        )
        try:
            with equal_failures_as_one():
                async with events, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._drain, events.behind, tasks.cancel_scope)
                    tasks.start_soon(self._leave_those_that_go_on, events.behind, ended := anyio.Event())
                    try:
                        await self._dispatch(events.behind, handle)
                    finally:
                        ended.set()
                    tasks.cancel_scope.cancel()
        finally:
            _LOG.info(
                "Consumer %r has ended: %d handled, %d failed, %d given back.",
                events.consumer,
                self.handled,
                self.failed,
                self.given_back,
            )

    async def run_until_signal(self, handler: Handler | None = None) -> None:
        """As `run`, in the main thread of a program: until SIGTERM, SIGHUP or Ctrl-C calls `shutdown`.

        A second signal cancels the running handlers, and their events are given back; a function or coroutine
        that goes on all the same is left behind, and its event waits for its lease to end. SIGHUP is
        left alone where the program handles or ignores it, as under `nohup`. On Windows, where no program can
        wait for a signal, Ctrl-C cancels the whole program.

        Raises:
            RequestError: This is not the main thread, which alone receives signals.
            AbeRedisError: As for `run`.
        """
        await run_until_signal(partial(self.run, handler), self.shutdown, drain_seconds=self._drain_seconds)

    async def shutdown(self) -> None:
        """Stop fetching; `run` ends when the running handlers have ended, or after `drain_seconds`."""
        if not self._stopping.is_set():
            _LOG.info(
                "Taking no more events; at work: %d, for %g s at most.",
                self._at_work,
                self._drain_seconds,
            )
            self._stopping.set()

    async def _drain(self, member: ConsumerProtocol, scope: anyio.CancelScope) -> None:
        """After `shutdown`: release prefetched events; give handlers their time, and then cancel them."""
        await self._stopping.wait()
        member.stop_fetching()
        await anyio.sleep(self._drain_seconds)
        if self._at_work:
            _LOG.warning(
                "Handlers did not end%s within %s s: %s.",
                "" if self._respond_to is None else ", or Redis did not take their results,",
                self._drain_seconds,
                self._what_ends_them(),
            )
        scope.cancel()

    async def _dispatch(self, member: ConsumerProtocol, handle: Handle) -> None:
        """Handle events one by one, in as many tasks as the concurrency."""
        asking = anyio.Lock()
        async with anyio.create_task_group() as handlers:
            for _ in range(self._concurrency):
                handlers.start_soon(self._work, member, handle, asking)

    @override
    async def _treat(
        self, member: ConsumerProtocol, held: InFlightEvent, handle: Handle
    ) -> tuple[Outcome, Exception | None]:
        event = held.event
        if event.origin in self._refused:
            return await self._refuse(member, held), None
        try:
            result = await call(lambda: handle(self._view(event)), seconds=self._timeout)
            if result is not None and self._respond_to is not None:
                # The result's own code runs when it is written as JSON, and may let anything out.
                answer = partial(respond, self._backend, self._respond_to, event, result)
                await call(answer, seconds=None)
        except Exception as error:  # noqa: BLE001 - the policy decides what it means
            await anyio.lowlevel.checkpoint_if_cancelled()  # then the handler has not failed
            if held.opened is event:
                outcome = await self._fail(member, held, error)
            else:
                outcome = self._fail_later(event, error)
            self.failed += 1
            return outcome, error
        self.handled += 1
        member.finish(held)
        return "done", None

    async def _refuse(self, member: ConsumerProtocol, held: InFlightEvent) -> Outcome:
        """Bury an event of an origin that this worker refuses."""
        event = held.event
        decision = Bury(f"its origin is {event.origin!r}, which this worker refuses")
        said = (event.id, event.stream, decision.reason)
        _LOG.warning("Event %s of %r is buried: %s.", *said, extra=of_event(event))
        return await self._carry_out(member, held, decision, decision.reason)

    async def _fail(self, member: ConsumerProtocol, held: InFlightEvent, error: Exception) -> Outcome:
        """Ask the policy about a failure, and carry the decision out."""
        event = held.event
        decision = decide(self._policy, event, error, most_deliveries=self._most_deliveries)
        stack = failure_log.tell(event, error, decision)
        slot = current_slot()
        name = self._name if slot is None else slot.handler
        held.detail = {"handler": name, "trace": stack[-_MOST_STORED:]}
        return await self._carry_out(member, held, decision, describe(error))

    @staticmethod
    def _fail_later(event: Event, error: Exception) -> Outcome:
        """Log a failure of a handler that had settled its event, or had tried to; it has no other effect."""
        at = place(error)
        _LOG.warning(
            "The handler of %s of %r had given it back or buried it, and failed then with %s%s.",
            *(event.id, event.stream, describe(error), f" at {at}" if at else ""),
            extra=of_event(event) | {"exception": {"type": type(error).__qualname__, "trace": trace(error)}},
        )
        return "retried"

    async def _carry_out(
        self, member: ConsumerProtocol, held: InFlightEvent, decision: Decision, why: str
    ) -> Outcome:
        """Settle an event as decided.

        Returns:
            The outcome. If the decision cannot be carried out, the event is delivered again.
        """
        event = held.event  # which a command that fails may have closed
        try:
            match decision:
                case Retry(delay, counts):
                    await event.nack(delay=delay, reason=why, counted=counts)
                case Bury(reason):
                    await event.bury(reason=reason)
                    return "buried"
                case Drop():
                    member.finish(held)
                    return "dropped"
        except LeaseLostError:
            return "lost"  # another consumer has it
        except AbeRedisError as failure:
            is_buried = isinstance(decision, Bury) and held.is_let_go
            what = "buried" if is_buried else "delivered again"
            when = " when Redis answers again" if held.is_let_go else ""
            _LOG.warning("%s The event is %s%s.", failure, what, when, extra=of_event(event))
            return "buried" if is_buried else "retried"
        return "retried"
