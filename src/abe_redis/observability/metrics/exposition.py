"""`--metrics-port`: `/metrics` for Prometheus, and `/healthz` for supervisors."""

import ipaddress
import logging
import re
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

import anyio
import anyio.lowlevel
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from abe_redis.errors import AbeRedisError, OutboxError, SettingsError
from abe_redis.observability.hooks import observed
from abe_redis.runtime import fork_rest
from abe_redis.runtime.extras import how_to_install
from abe_redis.runtime.web import App, Receive, Scope, Send, listen, serving
from abe_redis.schemas import OutboxStats, ServerMemory, StreamStats

if TYPE_CHECKING:
    from abe_redis.observability.metrics.collectors import Metrics, QueueMetrics

_LOG = logging.getLogger(__name__)


class Queue(Protocol):
    """Reads the state of the queue; `Operations` satisfies it."""

    async def outbox(self) -> OutboxStats | None:
        """The events in this machine's outbox; None without an outbox."""

    async def glance(self) -> Sequence[StreamStats]:
        """The state of every stream."""

    async def memory(self) -> Sequence[ServerMemory]:
        """The memory of each server that has keys."""

    async def gone(self, streams: Sequence[str]) -> set[str]:
        """Those streams that do not exist."""


_PATIENCE_SECONDS = 5.0
"""Time for Redis to answer; a scrape has 10 seconds by default."""

FORGET_EVERY_SECONDS = 60.0
"""Interval at which the series of streams that are gone are removed, whether somebody scrapes or not."""


@asynccontextmanager
async def exposed(
    host: str,
    port: int,
    operations: Callable[[], Awaitable[Queue]],
    *,
    health: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[None]:
    """Collect metrics, and serve them with the queue's state, for the duration of a block.

    Args:
        host: The address to listen on.
        port: The port; 0 chooses a free one, which the log names.
        operations: Returns the operations that read the queue.
        health: Says what is wrong, for `/healthz`; None when nothing is.

    Raises:
        SettingsError: prometheus-client is not installed.
        AbeRedisError: It cannot listen there.
    """
    if find_spec("prometheus_client") is None:
        raise SettingsError(
            f"--metrics-port needs prometheus-client, which is not installed: {how_to_install('metrics')}"
        )
    from abe_redis.observability.metrics.collectors import Metrics  # noqa: PLC0415 - an extra

    metrics = Metrics()
    with listen(host, port, prefix="metrics-") as listening, observed(metrics):
        _LOG.info("Metrics are at http://%s:%s/metrics.", host, listening.getsockname()[1])
        async with (
            serving(_app(metrics, operations, host, health), listening),
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(_forget_what_is_gone, metrics, operations)
            yield
            tasks.cancel_scope.cancel()


async def _forget_what_is_gone(metrics: "Metrics", operations: Callable[[], Awaitable[Queue]]) -> None:
    """Remove the series of streams that no longer exist, as long as the process lives."""
    while True:
        await anyio.sleep(FORGET_EVERY_SECONDS)
        if not (unused := metrics.of_streams.unused()):
            continue
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                gone = await (await operations()).gone(list(unused))
        except (AbeRedisError, TimeoutError) as error:
            _LOG.debug("Which streams still exist is not known: %s", error)
            continue
        for stream in gone:
            metrics.of_streams.forget(stream, unused[stream])
            await anyio.lowlevel.checkpoint()  # there may be thousands


class _KnownHost:
    """Answers a caller on this machine only under a name of this machine.

    A web page in a browser here could otherwise read the metrics under a name of its own that points here.
    """

    def __init__(self, app: App, host: str) -> None:
        self._app = app
        self._names = {
            "localhost",
            "127.0.0.1",
            "::1",
            host.strip("[]").lower(),
            socket.gethostname().lower(),
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http" and _is_here(scope) and self._name(scope) not in self._names:
            refusal = PlainTextResponse("This port does not answer under that name.", status_code=421)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    @staticmethod
    def _name(scope: Scope) -> str:
        """The name in the header `Host`, without the port."""
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if len(given) != 1:
            return ""
        return re.sub(r":\d*$", "", given[0]).strip("[]").lower()


def _is_here(scope: Scope) -> bool:
    """Whether the caller is on this machine."""
    client = scope.get("client")
    if not client:
        return True
    address = ipaddress.ip_address(client[0])
    return address.is_loopback or (
        isinstance(address, ipaddress.IPv6Address)
        and address.ipv4_mapped is not None
        and address.ipv4_mapped.is_loopback
    )


async def _read(queue: "QueueMetrics", operations: Queue) -> None:
    try:
        queue.outbox = await operations.outbox()
    except OutboxError as error:  # which hides nothing else
        _LOG.debug("The outbox could not be looked at for a scrape: %s", error)
    queue.streams = await operations.glance()
    queue.memory = await operations.memory()
    queue.reachable = True


def _app(
    metrics: "Metrics",
    operations: Callable[[], Awaitable[Queue]],
    host: str,
    health: Callable[[], str | None],
) -> Starlette:
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - an extra

    from abe_redis.observability.metrics.collectors import Exposed, QueueMetrics  # noqa: PLC0415 - an extra

    one_at_a_time = anyio.CapacityLimiter(1)

    async def scrape(request: Request) -> Response:
        queue = QueueMetrics()
        try:
            with anyio.fail_after(_PATIENCE_SECONDS):
                await _read(queue, await operations())
        except (AbeRedisError, TimeoutError) as error:
            _LOG.debug("The queue could not be looked at for a scrape: %s", error)
        encode, kind = choose_encoder(request.headers.get("accept", ""))
        exposed = Exposed(metrics.registry, queue)
        # A thousand streams are megabytes of text: in the loop, leases would expire meanwhile.
        text = await fork_rest.in_thread(encode, exposed, limiter=one_at_a_time)
        return Response(text, media_type=kind)

    async def healthz(_: Request) -> Response:
        trouble = health()
        return PlainTextResponse(trouble or "ok", status_code=503 if trouble else 200)

    return Starlette(
        routes=[Route("/metrics", scrape), Route("/healthz", healthz)],
        middleware=[Middleware(_KnownHost, host=host)],
    )
