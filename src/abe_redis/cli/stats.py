"""stats: the health of the streams."""

from typing import TYPE_CHECKING, Annotated

import typer

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.common import AnyStream, AsJson, show, with_backend
from abe_redis.cli.output import plain, say

if TYPE_CHECKING:
    from abe_redis.schemas import StatsResult


@app.command(rich_help_panel=INSPECT)
def stats(
    stream: AnyStream = None,
    *,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="End with exit code 1 when a stream is stalled, or the server has a problem."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show the health of the streams: waiting events, consumers, and what is wrong.

    Of a topic, it shows its own stream and its partitions.

    Exit code: 0, whatever it shows, unless you --check; 1 when Redis does not answer. Then --json has the
    reason in `problems`, and what waits in the `outbox`.

    Example: abe-redis stats --json

    Example: abe-redis stats --check > /dev/null || echo "somebody should look"
    """
    from abe_redis.cli.stats_tables import stats_or_causes  # noqa: PLC0415

    result = with_backend(lambda backend: stats_or_causes(backend, stream, as_json=as_json))
    if as_json:
        show(result, "", as_json=True)
    else:
        _print(result, every_consumer=stream is not None)
    if check and (result.problems or any(one.health == "stalled" for one in result.streams)):
        raise typer.Exit(1)


def _print(result: "StatsResult", *, every_consumer: bool) -> None:
    for sentence in result.problems:
        say(plain(sentence))
    if result.outbox is not None and result.outbox.trouble:
        say(plain(result.outbox.trouble))
    elif result.outbox is not None:
        from abe_redis.runtime.plurals import duration  # noqa: PLC0415

        refused = f", {result.outbox.refused} refused" if result.outbox.refused else ""
        oldest = duration(result.outbox.oldest_waiting_seconds)
        age = f", the oldest for {oldest}" if result.outbox.waiting else ""
        say(f"Outbox: {result.outbox.waiting} waiting{age}{refused}.")
    if not result.streams:
        say("No stream exists yet: nothing was published.")
        return
    from abe_redis.cli.stats_tables import print_stats  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    seconds = Settings().redis_stream_lease_seconds
    print_stats(result.streams, every_consumer=every_consumer, lease_seconds=seconds)
