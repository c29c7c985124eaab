"""top: the queue, live in a terminal."""

import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import anyio
import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.errors import AbeRedisError, RequestError

if TYPE_CHECKING:
    from abe_redis.schemas import StreamStats


@app.command(rich_help_panel=INSPECT)
def top(
    *,
    every: Annotated[
        float, typer.Option("--every", "-d", help="Seconds between two updates.", min=0.2, max=3600)
    ] = 2,
) -> None:
    """Show the queue live in the terminal: rates, waiting events and their age, consumers.

    Up and down choose a stream, Enter opens it and Esc closes it, s sorts by the next column, r reverses the
    order, the space bar pauses, q quits. With NO_COLOR set there are no colours.

    Example: abe-redis top --every 1
    """
    if sys.platform == "win32" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise RequestError("top needs a terminal that reports single keys; use `abe-redis stats` instead.")
    from rich.console import Console  # noqa: PLC0415

    from abe_redis.backend import RedisMessageQueueBackend  # noqa: PLC0415
    from abe_redis.cli.top.live import run  # noqa: PLC0415
    from abe_redis.cli.top.state import State  # noqa: PLC0415
    from abe_redis.operations.operations import Operations  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    settings = Settings()

    async def watch() -> None:
        async with RedisMessageQueueBackend(settings, forwards=False) as backend:
            operations = Operations(backend, origin="cli")

            async def fetch() -> "tuple[list[StreamStats], list[str]]":
                streams, problems = await operations.glance(), list[str]()
                with suppress(AbeRedisError):  # more than what was asked for
                    problems = await operations.causes(streams)
                return streams, problems

            await run(State(settings.redis_url, every), fetch, Console(highlight=False))

    anyio.run(watch)
