"""Helpers of the commands: one call on the queue, its result, a progress bar, a confirmation."""

import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Annotated

import anyio
import typer
from pydantic import BaseModel

from abe_redis.cli.failure import fail, interrupted, tell
from abe_redis.cli.output import json_of, say
from abe_redis.errors import SettingsError
from abe_redis.runtime.collector import idle_during_imports

if TYPE_CHECKING:
    from abe_redis.backend import RedisMessageQueueBackend
    from abe_redis.operations.operations import Operations
    from abe_redis.operations.scope import Scope

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and change nothing.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first.")]
Stream = Annotated[str, typer.Argument(help="The stream.")]
MetricsPort = Annotated[
    int | None,
    typer.Option(
        "--metrics-port",
        help="Serve metrics for Prometheus at this port, at /metrics; /healthz answers if the process lives. "
        "By default there are none.",
        min=0,
        max=65_535,
    ),
]
LOCAL = "127.0.0.1"
"""The address on which our servers listen by default."""
MetricsHost = Annotated[
    str,
    typer.Option(
        "--metrics-host", help="The address for --metrics-port; 0.0.0.0 for a Prometheus on another machine."
    ),
]
AnyStream = Annotated[str | None, typer.Argument(help="The stream; by default all streams.")]


def with_backend[Result](
    call: "Callable[[RedisMessageQueueBackend], Awaitable[Result]]", *, forwards: bool = False
) -> Result:
    """Open a backend with the settings, make one call with it, and close it.

    SIGTERM and SIGHUP in the meantime do what Ctrl-C does: what is begun ends, and the audit has it.

    Args:
        call: The call.
        forwards: Whether what waits in the outbox is forwarded meanwhile. Only commands that publish do:
            what one shows would be old at once, and no command stays long enough to forward all.
    """
    with idle_during_imports():
        from abe_redis.backend import RedisMessageQueueBackend  # noqa: PLC0415
        from abe_redis.runtime.signals import as_interrupts  # noqa: PLC0415
        from abe_redis.settings import Settings  # noqa: PLC0415

    settings = Settings()

    async def run() -> Result:
        with as_interrupts():
            async with RedisMessageQueueBackend(settings, forwards=forwards) as backend:
                return await call(backend)

    return anyio.run(run)


def with_scope[Result](call: "Callable[[Scope], Awaitable[Result]]") -> Result:
    """Make one call within the streams that the settings allow."""
    from abe_redis.operations.scope import Scope  # noqa: PLC0415

    return with_backend(lambda backend: call(Scope(backend, origin="cli")))


def with_operations[Result](
    call: "Callable[[Operations], Awaitable[Result]]", *, forwards: bool = False
) -> Result:
    """Make one call on the operations, as a person; `forwards` as for `with_backend`."""
    from abe_redis.operations.operations import Operations  # noqa: PLC0415

    return with_backend(lambda backend: call(Operations(backend, origin="cli")), forwards=forwards)


def exposed(
    host: str,
    port: int | None,
    operations: "Callable[[], Awaitable[Operations]]",
    *,
    health: Callable[[], str | None] = lambda: None,
) -> AbstractAsyncContextManager[None]:
    """Serve metrics for the duration of a block, if a port was given."""
    if port is None:
        if host != LOCAL:
            raise SettingsError(
                f"--metrics-host is {host!r}, and there are no metrics: give --metrics-port, too."
            )
        return nullcontext()
    from abe_redis.observability.metrics.exposition import exposed as show_metrics  # noqa: PLC0415

    return show_metrics(host, port, operations, health=health)


def operations_of(backend: "RedisMessageQueueBackend") -> "Callable[[], Awaitable[Operations]]":
    """A function that returns the operations on an open backend."""
    from abe_redis.operations.operations import Operations  # noqa: PLC0415

    operations = Operations(backend, origin="cli")

    async def get() -> Operations:
        return operations

    return get


def show(result: BaseModel, text: str, *, as_json: bool, error: str = "") -> None:
    """Print a result: as JSON for a script, or as text for a person.

    Args:
        result: The result.
        text: The same for people; empty for nothing.
        as_json: For a script.
        error: Why the rest was not done; then the command has failed.

    Raises:
        typer.Exit: There is an error.
    """
    if not (as_json and error) and (as_json or text or not error):
        say(json_of(result, indent=2) if as_json else text)
    if error:
        fail(error, result)


def at_terminal() -> bool:
    """Whether there is somebody to ask."""
    return sys.stdin.isatty()


def confirm(question: str, *, yes: bool) -> None:
    """Ask before an irreversible change; without a terminal, require --yes.

    Raises:
        typer.Exit: The answer is no (1), or stdin is no terminal (2).
    """
    if yes:
        return
    if not at_terminal():
        tell([f"{question} There is no terminal to ask at; add --yes."])
        raise typer.Exit(2)
    from abe_redis.sanitize.untrusted import lines  # noqa: PLC0415

    if not typer.confirm(lines(question), err=True):
        fail("Nothing was changed.")


@contextmanager
def stepwise(what: str) -> Iterator[Callable[[int], None]]:
    """As `progress`, for a change in steps: Ctrl-C, SIGTERM or SIGHUP in the middle says how much is done."""
    done = 0
    try:
        with progress(what) as on_progress:

            def note(more: int) -> None:
                nonlocal done
                done += more
                on_progress(more)

            yield note
    except KeyboardInterrupt:
        interrupted(f"Interrupted while {what}: {done} done, and perhaps some more.")
        raise


@contextmanager
def progress(what: str) -> Iterator[Callable[[int], None]]:
    """A counter on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn  # noqa: PLC0415

    columns = (SpinnerColumn(), TextColumn(what), TextColumn("{task.completed:,}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda more: bar.advance(task, more)
