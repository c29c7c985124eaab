"""dashboard: the queue as a page in the browser."""

from typing import Annotated

import anyio
import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.output import say


@app.command(rich_help_panel=INSPECT)
def dashboard(
    *,
    port: Annotated[int, typer.Option(help="The port; 0 chooses a free one.", min=0, max=65_535)] = 8766,
    open_browser: Annotated[bool, typer.Option("--open", help="Open it in the browser.")] = False,
) -> None:
    """Serve a web page with the queue: waiting events, their age, consumers, and rates.

    It listens on this machine only and changes nothing; Ctrl-C ends it. From another machine, use
    `ssh -L 8766:localhost:8766`.

    Example: abe-redis dashboard --open
    """
    from abe_redis.backend import RedisMessageQueueBackend  # noqa: PLC0415
    from abe_redis.dashboard.app import HOST, dashboard  # noqa: PLC0415
    from abe_redis.operations.operations import Operations  # noqa: PLC0415
    from abe_redis.runtime.web import listen, serve  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    settings = Settings()

    async def run() -> None:
        async with RedisMessageQueueBackend(settings, forwards=False) as backend:
            operations = Operations(backend, origin="cli")
            await serve(dashboard(lambda: operations.stream_stats(ages=True)), listening)

    with listen(HOST, port) as listening:
        url = f"http://{HOST}:{listening.getsockname()[1]}"
        say(f"The dashboard is at {url} (Ctrl-C ends it).")
        if open_browser:
            typer.launch(url)
        anyio.run(run)
