"""`FakeSlack`, which a test starts, tells how to behave, and asks what it saw."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from uuid import uuid4

import anyio
import anyio.to_thread

from abe_redis.errors import AbeRedisError
from abe_redis.runtime.extras import how_to_install
from abe_redis.testing.fake_slack.records import Answer, SlackCall, SlackDelivery
from abe_redis.testing.fake_slack.web_api import WebApi

if TYPE_CHECKING:
    from abe_redis.testing.fake_slack.service import Service

SIGNING_SECRET = "8f742231b10e8888abcd99yyyzzz85a5"  # noqa: S105 - the example of Slack's documentation

_LOOK_SECONDS = 0.01


class FakeSlack:
    """A Slack on a loopback port, for tests of bots: the Web API, Socket Mode, and the Events API's posts.

    Use it with `with` or `async with`. It runs in a thread of its own, so it serves a bot that blocks its
    event loop, a sync bot and a bot in another process alike. Every method may be called from any thread.
    """

    def __init__(
        self,
        *,
        signing_secret: str = SIGNING_SECRET,
        retry_waits: Sequence[float] = (0.0, 60.0, 300.0),
        answer_within: float = 3.0,
    ) -> None:
        """Configure it; nothing is opened yet.

        Args:
            signing_secret: What posts are signed with.
            retry_waits: Seconds before an event that was not accepted is sent again, as often as there are
                values; Slack's own by default.
            answer_within: Seconds that an app has to answer; Slack's own by default.
        """
        self.signing_secret = signing_secret
        self._api = WebApi()
        self._retry_waits = tuple(retry_waits)
        self._answer_within = answer_within
        self._loop: asyncio.AbstractEventLoop | None = None
        self._service: Service | None = None
        self._thread: threading.Thread | None = None
        self._ending: asyncio.Event | None = None
        self._port = 0

    # Its life.

    def start(self) -> Self:
        """Start listening.

        Raises:
            AbeRedisError: aiohttp is not installed.
        """
        try:
            from abe_redis.testing.fake_slack.service import Service  # noqa: PLC0415 - needs aiohttp
        except ModuleNotFoundError as error:
            raise AbeRedisError(
                f"FakeSlack needs {error.name!r}, which is not installed: {how_to_install('bolt')}"
            ) from None
        began: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._serve, args=(Service, began), name="abe-redis fake Slack", daemon=True
        )
        self._thread.start()
        began.result()
        return self

    def close(self) -> None:
        """Stop listening, and give up running deliveries; a second call does nothing."""
        thread, self._thread = self._thread, None
        if thread is not None and self._loop is not None and self._ending is not None:
            self._loop.call_soon_threadsafe(self._ending.set)
            thread.join()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return await anyio.to_thread.run_sync(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.to_thread.run_sync(self.close)

    # Where it is.

    @property
    def api_url(self) -> str:
        """The `base_url` for a `WebClient` of slack_sdk."""
        return f"http://127.0.0.1:{self._port}/api/"

    def response_url(self) -> str:
        """A new `response_url` for a command or an action; posts to it are calls of `response_url`."""
        return f"http://127.0.0.1:{self._port}/response_url/{uuid4().hex}"

    # How the Web API behaves.

    def fail(self, method: str, error: str, *, times: int | None = None, status: int = 200) -> None:
        """Let a method fail.

        Args:
            method: As in `chat.postMessage`; `*` for every method.
            error: As in `channel_not_found`.
            times: How many calls; by default all until `mend`.
            status: The HTTP status, for outages such as 503.
        """
        self._api.fail(method, error, times=float("inf") if times is None else times, status=status)

    def limit(self, method: str, *, calls: int = 0, seconds: float = 1, times: int | None = None) -> None:
        """Refuse calls beyond a rate with 429 and `Retry-After`, each channel on its own as Slack counts.

        Args:
            method: As in `chat.postMessage`; `*` for every method.
            calls: Calls that are let through within `seconds`; 0 refuses every call.
            seconds: The span in which calls are counted; with `calls` 0, the value of `Retry-After`.
            times: Refusals until the limit is gone; by default it stays until `mend`.
        """
        self._api.limit(method, calls=calls, seconds=seconds, times=float("inf") if times is None else times)

    def answer(self, method: str, answer: Answer) -> None:
        """Choose what a method answers, as a body or as a function that makes one from the call."""
        self._api.set_answer(method, answer)

    def mend(self, method: str | None = None) -> None:
        """End the effect of `fail` and `limit`, for one method or for all."""
        self._api.mend(method)

    # What it saw.

    def calls(self, method: str | None = None) -> list[SlackCall]:
        """The calls so far, of one method or of all, in order, including refused ones."""
        return self._api.calls(method)

    async def called(self, method: str, *, times: int = 1, seconds: float = 60) -> list[SlackCall]:
        """Wait for a number of calls of a method that were not refused, and return them.

        Raises:
            TimeoutError: There were fewer calls in time.
        """

        def found() -> list[SlackCall]:
            return [call for call in self.calls(method) if call.answer.get("ok")]

        await self._until(lambda: len(found()) >= times, f"{method} was not called {times} times", seconds)
        return found()

    # The Events API, interactivity and commands over HTTP.

    def post(self, url: str, payload: dict[str, Any]) -> SlackDelivery:
        """Post something to an app's address, signed as Slack signs it.

        An event that is not accepted within `answer_within` is sent again after each of `retry_waits`, with
        `X-Slack-Retry-Num` and `X-Slack-Retry-Reason`, unless the answer has `X-Slack-No-Retry: 1`. Anything
        else is sent once.

        Args:
            url: The app's address.
            payload: An envelope, action, view, command or notice, as the makers of this package make them.

        Returns:
            What becomes of it; await it, or call its `wait`.
        """
        delivery = SlackDelivery(payload)
        self._in_loop(lambda service: service.post(url, delivery))
        return delivery

    # Socket Mode.

    def send(self, payload: dict[str, Any]) -> SlackDelivery:
        """Send something by Socket Mode, through one of the open connections in turn.

        While none is open, it waits. An event that is not acked within `answer_within`, or whose connection
        ends before, is sent again as `post` does. The connections get what is sent in the order of calls.

        Returns:
            What becomes of it; await it, or call its `wait`.
        """
        delivery = SlackDelivery(payload)
        self._in_loop(lambda service: service.send(delivery))
        return delivery

    @property
    def connections(self) -> int:
        """Open connections of Socket Mode."""
        return len(self._service.sockets) if self._service is not None else 0

    @property
    def connections_opened(self) -> int:
        """Connections of Socket Mode that were opened so far."""
        return self._service.sockets.opened if self._service is not None else 0

    async def connected(self, connections: int = 1, *, seconds: float = 60) -> None:
        """Wait until a number of Socket Mode connections are open.

        Raises:
            TimeoutError: There were fewer in time.
        """
        await self._until(
            lambda: self.connections >= connections, f"{connections} connections were not opened", seconds
        )

    def disconnect(self, reason: str = "refresh_requested", *, closes_after: float = 10.0) -> None:
        """Announce the end of all connections that are open now, as Slack does, and then end them.

        New events go to other connections from now on, if there are any.

        Args:
            reason: `warning`, `refresh_requested` or `link_disabled`.
            closes_after: Seconds until they are closed.
        """
        self._in_loop(lambda service: service.disconnect(reason, closes_after))

    def cut(self) -> None:
        """End all connections that are open now without a word, as a broken network does."""
        self._in_loop(lambda service: service.sockets.cut())

    # ------------------------------------------------------------------------------------------------------

    async def _until(self, holds: Callable[[], bool], what: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > end:
                raise TimeoutError(f"{what} within {seconds:g} s; the calls were {self.calls()!r}.")
            await anyio.sleep(_LOOK_SECONDS)

    def _in_loop(self, call: "Callable[[Service], None]") -> None:
        if self._loop is None or self._service is None or self._thread is None:
            raise AbeRedisError("This FakeSlack does not run: use it within `with FakeSlack() as slack:`.")
        service = self._service
        self._loop.call_soon_threadsafe(lambda: call(service))

    def _serve(self, make: "type[Service]", began: "Future[None]") -> None:
        async def run() -> None:
            try:
                self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
                self._service = make(
                    self._api,
                    secret=self.signing_secret,
                    retry_waits=self._retry_waits,
                    answer_within=self._answer_within,
                )
                self._port = await self._service.start()
            except BaseException as error:  # noqa: BLE001 - it is raised where it was started
                began.set_exception(error)
                return
            began.set_result(None)
            try:
                await self._ending.wait()
            finally:
                await self._service.stop()

        asyncio.run(run())
