"""A web server that ends at a signal: for the MCP server over HTTP, and for the dashboard."""

import errno
import logging
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, override

import anyio
import uvicorn

from abe_redis.errors import AbeRedisError
from abe_redis.runtime.acceptance import WAITING, Seldom, accept
from abe_redis.runtime.signals import on_signal
from abe_redis.runtime.slow_clients import HEAD_SECONDS, Impatient, impatient, most_connections

type Scope = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
type Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

_GRACE_SECONDS = 3
"""Time that running calls get to end when the server shuts down; then they are cancelled."""
_CLOSE_SECONDS = 1
"""Time that connections then get to close; then they are dropped."""
_LAST_SECONDS = 10
"""Time after which Uvicorn gives up on a call that resists cancellation, and logs an error."""

_LOG = logging.getLogger(__name__)
_CROWDED = (
    "All %d connections are open. For each new one, the one is closed that waits longest for its client: for "
    "a request, for the rest of one, or until an answer is taken. If there is none, the new one is."
)


def listen(host: str, port: int, *, prefix: str = "") -> socket.socket:
    """Open a listening socket.

    Args:
        host: A name or an address.
        port: The port; 0 for any that is free.
        prefix: How the options that choose them begin, as in `metrics-`.

    Raises:
        AbeRedisError: It cannot listen there.
    """
    try:
        family, *_, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
        listening = socket.create_server(address, family=family, backlog=WAITING)
        # Its connections inherit that. asyncio does it for sockets that say they are TCP, which accepted ones
        # do not; without it an answer in several parts takes 40 ms more, until the client acknowledges one.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
        is_host = isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL
        what = "an address of this machine with --{}host" if is_host else "another port with --{}port"
        raise AbeRedisError(
            f"Cannot listen on {host}:{port} ({reason}): choose {what.format(prefix)}."
        ) from None
    return listening


async def serve(
    app: App,
    listening: socket.socket,
    *,
    head_seconds: float = HEAD_SECONDS,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal comes that ends the process.

    Args:
        app: An ASGI application.
        listening: Where; whoever made it closes it.
        head_seconds: Time that a client has for the head of a request, from its connection or from its last
            answer.
        on_ready: Called when a signal ends it cleanly.
    """
    server = _server(app, listening, head_seconds)

    async def end(_: int) -> None:
        server.should_exit = True

    async with anyio.create_task_group() as tasks:
        await tasks.start(on_signal, end)
        on_ready()
        await server.serve([])
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def serving(
    app: App, listening: socket.socket, *, head_seconds: float = HEAD_SECONDS
) -> AsyncIterator[None]:
    """Serve in the background for the duration of a block."""
    server = _server(app, listening, head_seconds)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve, [])
        try:
            yield
        finally:
            server.should_exit = True


def _server(app: App, listening: socket.socket, head_seconds: float) -> "_Server":
    ending, calls = anyio.Event(), set[anyio.CancelScope]()
    protocol = impatient(head_seconds)
    config = uvicorn.Config(
        _ended_by(calls, _hanging_up(app, ending)),
        http=protocol,
        ws="none",
        log_config=None,  # its records pass our formatter, as all others do
        log_level="error",  # anybody can cause its warnings, without end
        timeout_graceful_shutdown=_LAST_SECONDS,
        server_header=False,
    )
    return _Server(config, protocol, listening, ending, calls)


def _ended_by(calls: set[anyio.CancelScope], app: App) -> App:
    """Let calls be cancelled from outside: such a call is answered 503, if it has no answer yet."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        has_begun = False

        async def say(message: MutableMapping[str, Any]) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        with anyio.CancelScope() as call:
            calls.add(call)
            try:
                await app(scope, receive, say)
            finally:
                calls.discard(call)
        if call.cancelled_caught and not has_begun:
            headers = [(b"content-length", b"0"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 503, "headers": headers})
            await send({"type": "http.response.body"})

    return run


def _hanging_up(app: App, ending: anyio.Event) -> App:
    """Let an application's event streams end with the server, instead of using up its grace period."""

    async def run(scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") != "GET":  # running calls may end
            await app(scope, receive, send)
            return
        is_under_way = False

        async def hear() -> MutableMapping[str, Any]:
            message: MutableMapping[str, Any] = {"type": "http.disconnect"}
            async with anyio.create_task_group() as tasks:

                async def end() -> None:
                    await ending.wait()
                    tasks.cancel_scope.cancel()

                tasks.start_soon(end)
                message = await receive()
                tasks.cancel_scope.cancel()
            return message

        async def say(message: MutableMapping[str, Any]) -> None:
            nonlocal is_under_way
            is_under_way = bool(message.get("more_body")) or message["type"] == "http.response.start"
            await send(message)

        await app(scope, hear, say)
        if is_under_way and ending.is_set():
            await send({"type": "http.response.body"})

    return run


class _Server(uvicorn.Server):
    """Serves until `should_exit`, and leaves signals to its caller."""

    def __init__(
        self,
        config: uvicorn.Config,
        protocol: type[Impatient],
        listening: socket.socket,
        ending: anyio.Event,
        calls: set[anyio.CancelScope],
    ) -> None:
        super().__init__(config)
        self._protocol = protocol
        self._listening = listening
        self._ending = ending
        self._calls = calls
        self._most = most_connections()
        self._crowded = Seldom()

    @override
    async def main_loop(self) -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(accept, self._listening, self._connection, self)
            await super().main_loop()
            tasks.cancel_scope.cancel()

    def _connection(self) -> Impatient:
        return self._protocol(self.config, self.server_state, self.lifespan.state)

    def for_one_more(self, accepted: int) -> bool:
        """Whether one more connection may begin; the one that waits longest for its client makes room."""
        if len(self.server_state.connections) + accepted < self._most:
            return True
        self._crowded.say(logging.WARNING, _CROWDED, self._most)
        return self._protocol.end_one()

    @override
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending.set()
        self._listening.close()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._end_what_is_left)
            await super().shutdown(sockets)
            tasks.cancel_scope.cancel()

    async def _end_what_is_left(self) -> None:
        """Cancel calls after their grace period, then drop connections whose clients do not read or close."""
        await anyio.sleep(_GRACE_SECONDS)
        for call in list(self._calls):
            call.cancel()
        await anyio.sleep(_CLOSE_SECONDS)
        for connection in list(self.server_state.connections):
            self.server_state.connections.discard(connection)
            transport = getattr(connection, "transport", None)
            if transport is not None:
                transport.abort()

    @contextmanager
    @override
    def capture_signals(self) -> Iterator[None]:
        # Its own handlers would end the process before leases are given back.
        yield
