"""Publishing for code that is not async: from any thread, over one connection, with the same promise."""

import asyncio
import concurrent.futures
import contextlib
import os
import threading
import weakref
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self, cast, override

import anyio._backends._asyncio  # noqa: F401 - which the thread needs, and should not import when it forks

from abe_redis.backend import RedisMessageQueueBackend, check_settings
from abe_redis.errors import ClosedError, ForkedError
from abe_redis.events.codec import each_payload
from abe_redis.events.published import Published
from abe_redis.publishing.outbox_file import OutboxSize
from abe_redis.publishing.partitioner import Conversation
from abe_redis.runtime import fork, fork_rest
from abe_redis.settings import Settings


class SyncBackend:
    """Publishes as `RedisMessageQueueBackend` does, for code without an event loop.

    A thread of its own keeps the connection, so that any thread may publish, before, after and beside any
    event loop, after a fork, and in a signal handler that interrupts a publish. It is closed by `close()`, by
    leaving `with`, or with the process.
    """

    def __init__(self, settings: Settings, *, conversation: Conversation | None = None) -> None:
        """Configure it; it connects to nothing yet, unless there are events in `REDIS_OUTBOX` to forward.

        Args:
            settings: Where Redis is and how to behave there.
            conversation: As for `RedisMessageQueueBackend`.
        """
        check_settings(settings, type(self))
        self.settings = settings
        self._backend = _OfService(settings, conversation=conversation)
        self._conversation = conversation
        self._guard = threading.RLock()  # a signal handler that publishes may interrupt its holder
        self._service: _Service | None = None
        self._closed = False
        fork.hears_of_forks(self)
        if settings.redis_outbox is not None and os.path.exists(settings.redis_outbox):  # noqa: PTH110
            with fork_rest.undivided(), self._guard:
                self._start()

    @classmethod
    def from_env(cls) -> Self:
        """One that is configured by the environment and, for what that lacks, by `.env`.

        Raises:
            SettingsError: A variable has a value that is not allowed.
        """
        return cls(Settings())

    def publish(self, key: str, payload: dict[str, Any]) -> None:
        """Add an event to the stream `key`; when this returns, Redis has it, or the outbox.

        Args:
            key: The stream.
            payload: A JSON object of at most 8 MiB.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        self._run(lambda backend: backend.publish(key, payload))

    def publish_event(
        self, key: str, payload: dict[str, Any], *, event_id: str | None = None, origin: str | None = None
    ) -> Published:
        """Add an event, and return the result; as `RedisMessageQueueBackend.publish_event`.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        return self._run(
            lambda backend: backend.publish_event(key, payload, event_id=event_id, origin=origin)
        )

    def publish_many(
        self, key: str, payloads: Iterable[dict[str, Any]], *, origin: str | None = None
    ) -> list[Published]:
        """Add many events in order, with few round trips; as `RedisMessageQueueBackend.publish_many`.

        Raises:
            AbeRedisError: As for `RedisMessageQueueBackend.publish`.
        """
        every = each_payload(payloads)  # in the caller's thread, to whom they may belong
        return self._run(lambda backend: backend.publish_many(key, every, origin=origin))

    def outbox_size(self) -> OutboxSize:
        """How many events `REDIS_OUTBOX` holds, of every process that names it; zeros without one.

        Raises:
            OutboxError: The file cannot be used.
        """
        return self._run(lambda backend: backend.outbox_size())

    def close(self) -> None:
        """Let running publishes end, and close the connection."""
        with fork_rest.undivided(), self._guard:
            self._closed = True
            service, self._service = self._service, None
        if service is not None:
            service.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.redis_url!r})"

    def __getstate__(self) -> dict[str, Any]:
        """The arguments with which another process makes the same; all else belongs to this one."""
        return {"settings": self.settings, "conversation": self._conversation}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def _run[Result](self, call: Callable[[RedisMessageQueueBackend], Coroutine[Any, Any, Result]]) -> Result:
        """Run a call in the thread that has the connection, and wait for it."""
        with fork_rest.undivided(), self._guard:
            if self._closed:
                raise ClosedError
            service = self._service or self._start()
            asked = service.ask(call(self._backend))
        return cast("Result", asked.answer())

    def _start(self) -> "_Service":
        service = _Service(self._backend)
        weakref.finalize(self, service.end)
        if self._service is None:
            self._service = service
        else:  # a signal handler that published has started one meanwhile
            service.end()
        return self._service

    # What a fork calls.

    def before_fork(self) -> None:
        """Nothing to do: what is done with the guard is `undivided`."""

    def after_fork(self) -> None:
        """The parent goes on with its thread."""

    def forked(self) -> None:
        """The thread is not in the child, which starts its own."""
        self._guard = threading.RLock()
        service, self._service = self._service, None
        if service is not None:
            service.forked()


@dataclass(frozen=True, slots=True)
class _Answer:
    """What a call returned or raised.

    Also an exit: the payload's own code or the function `conversation` may raise one, which would end the
    loop and is the caller's.
    """

    result: object = None
    error: BaseException | None = None


class _Asked:
    """A call that the thread makes for its caller.

    No lock is held while its caller waits: a signal handler may interrupt that at any place, and wait for a
    call of its own.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Coroutine[Any, Any, object]) -> None:
        self._loop = loop
        self._call = call
        self._answers = SimpleQueue[_Answer]()
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Make the call, in the loop."""
        self._task = self._loop.create_task(self._make())
        self._task.add_done_callback(self._end)

    async def _make(self) -> None:
        try:
            answer = _Answer(await self._call)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - its caller's
            answer = _Answer(error=error)
        self._answers.put(answer)

    def _end(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            self._answers.put(_Answer(error=concurrent.futures.CancelledError()))

    def forked(self) -> None:
        """Raise an error in the child of a signal handler that forked while the caller waited."""
        self._answers.put(_Answer(error=ForkedError()))

    def answer(self) -> object:
        """Wait for what it returns or raises."""
        try:
            answer = self._answers.get()
        except BaseException:  # such as Ctrl-C
            with contextlib.suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._cancel)
            raise
        if answer.error is not None:
            raise answer.error
        return answer.result

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


class _OfService(RedisMessageQueueBackend):
    """Forwards in the loop of its service, and not in one that runs where it is made: one alone may."""

    @override
    def _forward_where_made(self) -> None:
        return


class _Service:
    """An event loop in a thread of its own, until it is ended or the process ends."""

    def __init__(self, backend: RedisMessageQueueBackend) -> None:
        self._backend = backend
        self._generation = fork.generation()
        self._ended = asyncio.Event()
        self._asked = weakref.WeakSet[_Asked]()
        self.loop = asyncio.new_event_loop()
        fork_rest.rests(self.loop)
        self._thread = threading.Thread(target=self._serve, name="abe-redis publishing", daemon=True)
        runs = SimpleQueue[None]()
        self.loop.call_soon(runs.put, None)
        self._thread.start()
        runs.get()  # before that a fork would not know that it has to wait for this loop

    def ask(self, call: Coroutine[Any, Any, object]) -> _Asked:
        """Make a call in the thread."""
        asked = _Asked(self.loop, call)
        self._asked.add(asked)
        self.loop.call_soon_threadsafe(asked.begin)
        return asked

    def forked(self) -> None:
        """Fail what the thread of the parent was asked for, in the child."""
        for asked in list(self._asked):
            asked.forked()

    def end(self) -> None:
        """End the thread after its running publishes; a second call does nothing."""
        if self._generation == fork.generation() and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._ended.set)
            if threading.current_thread() is not self._thread:  # which may collect the garbage
                self._thread.join()

    def _serve(self) -> None:
        runner = asyncio.Runner(loop_factory=lambda: self.loop)
        try:
            runner.run(self._until_ended())
        finally:
            # While the interpreter ends, no thread can be started that waits for those of the loop.
            with contextlib.suppress(RuntimeError):
                runner.close()

    async def _until_ended(self) -> None:
        self._backend.forward()
        await self._ended.wait()
        asked_for = asyncio.all_tasks() - {asyncio.current_task()}
        calls = [task for task in asked_for if not task.get_name().startswith("abe-redis")]
        await asyncio.gather(*calls, return_exceptions=True)
