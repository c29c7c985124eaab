"""stats: the health of the streams."""

from abe_redis.cli.app import INSPECT, app
from abe_redis.cli.common import AnyStream, AsJson, plain, say, show, with_backend


@app.command(rich_help_panel=INSPECT)
def stats(stream: AnyStream = None, *, as_json: AsJson = False) -> None:
    """Show the health of the streams: waiting events, consumers, and what is wrong.

    Example: abe-redis stats --json
    """
    from abe_redis.cli.stats_tables import stats_or_causes  # noqa: PLC0415

    result = with_backend(lambda backend: stats_or_causes(backend, stream))
    if as_json:
        show(result, "", as_json=True)
        return
    for sentence in result.problems:
        say(plain(sentence))
    if result.outbox is not None and result.outbox.trouble:
        say(plain(result.outbox.trouble))
    elif result.outbox is not None:
        refused = f", {result.outbox.refused} refused" if result.outbox.refused else ""
        say(f"Outbox: {result.outbox.waiting} waiting{refused}.")
    if not result.streams:
        say("No stream exists yet: nothing was published.")
        return
    from abe_redis.cli.stats_tables import print_stats  # noqa: PLC0415
    from abe_redis.settings import Settings  # noqa: PLC0415

    seconds = Settings().redis_stream_lease_seconds
    print_stats(result.streams, every_consumer=stream is not None, lease_seconds=seconds)
