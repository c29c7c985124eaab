"""publish: add an event to a stream, or many from a file."""

import re
from typing import Annotated

import typer

from abe_redis.cli.app import EVENTS, app
from abe_redis.cli.common import AsJson, progress, show, with_operations
from abe_redis.cli.encoding import checked, from_stdin, json_object
from abe_redis.cli.failure import interrupted, keep
from abe_redis.cli.output import plain, say
from abe_redis.errors import InvalidArgumentError, PayloadError
from abe_redis.runtime.plurals import count


@app.command(rich_help_panel=EVENTS)
def publish(
    payload: Annotated[
        str | None, typer.Argument(help="The event as a JSON object, or - to read it from stdin.")
    ] = None,
    *,
    stream: Annotated[
        str | None, typer.Option("--stream", "-s", help="The stream; by default SLACK_EVENTS_TOPIC.")
    ] = None,
    event_id: Annotated[
        str | None,
        typer.Option(
            help="An id; a stream adds an event of one id only once. By default the `event_id` of Slack's "
            "envelope (type event_callback), or what REDIS_STREAM_EVENT_ID names; an event without either, "
            "as a slash command or a button, is added each time."
        ),
    ] = None,
    lines: Annotated[
        typer.FileBinaryRead | None,
        typer.Option(help="Publish each line of this file, one JSON object per line; - is stdin."),
    ] = None,
    from_line: Annotated[
        int, typer.Option(help="With --lines: the number of the first line to publish.", min=1)
    ] = 1,
    skip_lines: Annotated[
        str | None,
        typer.Option(help="With --lines: lines to leave out, such as 22-40,45.", metavar="NUMBERS"),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Add an event to a stream, or many from a file.

    Example: abe-redis publish '{"type": "app_mention", "text": "hello"}'

    Example: abe-redis publish --lines events.jsonl --stream slack_events
    """
    if (payload is None) == (lines is None):
        raise typer.BadParameter(
            "Give an event as the argument (- reads it from stdin), or --lines with a file of events (- is "
            "stdin, too), and not both."
        )
    if lines is None and (from_line != 1 or skip_lines is not None):
        raise typer.BadParameter("--from-line and --skip-lines are for --lines.")
    if lines is not None:
        if event_id is not None:
            raise typer.BadParameter("--event-id is for one event; in a file, each has its own.")
        _publish_lines(lines, stream, from_line, skip_lines, as_json=as_json)
        return
    text = from_stdin() if payload == "-" else checked(payload or "")
    try:
        value = json_object(text)
    except ValueError as error:
        wrong = PayloadError if payload == "-" else InvalidArgumentError
        raise wrong(
            f"The event is no JSON object ({error}); nothing was published. It looks like "
            """{"type": "message", "text": "hello"}; in a shell, put it in single quotes."""
            f"{_stream_hint(text)}"
        ) from None
    try:
        result = with_operations(
            lambda operations: operations.publish_event(value, stream=stream, event_id=event_id),
            forwards=True,
        )
    except KeyboardInterrupt:
        interrupted(
            "Interrupted before Redis answered: the event may be published. `abe-redis read` shows it."
        )
        raise
    if not value:
        say("abe-redis: The event is empty ({}): no handler can tell what it is about.", to_stderr=True)
    text = f"{'already there' if result.duplicate else 'added'} as {result.id}"
    if result.waiting:
        text = f"waits in the outbox as {result.id} until Redis takes it. {_why(result.reason)}"
    if result.new_stream:
        text += " (a new stream, which no group reads yet)"
    show(result, f"{plain(result.stream)}: {text}".rstrip(), as_json=as_json)


def _stream_hint(text: str) -> str:
    """How to name a stream, if that may be what stands in the place of the event."""
    if not re.fullmatch(r"[A-Za-z][\w:.{}-]{0,100}", text.strip()):
        return ""
    return f" If {text.strip()!r} is the stream, give it with --stream."


def _why(reason: str | None) -> str:
    """Why events wait in the outbox, for people."""
    return plain(reason or "Others wait there before it.")


def _publish_lines(
    lines: typer.FileBinaryRead, stream: str | None, first: int, skipped: str | None, *, as_json: bool
) -> None:
    from abe_redis.cli.line_numbers import LineRanges, known  # noqa: PLC0415
    from abe_redis.cli.publish_lines import LinesPublisher, own  # noqa: PLC0415
    from abe_redis.schemas import PublishLinesResult  # noqa: PLC0415

    try:
        skip = LineRanges() if skipped is None else LineRanges.parse(skipped)
    except ValueError:
        raise typer.BadParameter(
            "it must be numbers of lines and ranges of them, such as 22-40,45.", param_hint="'--skip-lines'"
        ) from None
    left_off = list[PublishLinesResult]()

    def note(result: PublishLinesResult) -> None:
        left_off.append(result)
        keep(result)

    publisher = LinesPublisher(own(lines), stream=stream, first=first, skipped=skip, on_left_off=note)
    try:
        with progress("publishing") as on_progress:
            result = with_operations(
                lambda operations: publisher.publish(operations, on_progress), forwards=True
            )
    except KeyboardInterrupt:
        if not left_off and publisher.has_begun:  # a second one, or one when all was published
            publisher.leave_off()
        elif not left_off:
            note(PublishLinesResult(continue_with=f"--from-line {first}"))
            interrupted("Interrupted before the first line. Published: 0.")
        raise
    text = f"{count(result.added + result.waiting, 'event')} published"
    if result.waiting:
        wait, them = ("waits", "it") if result.waiting == 1 else ("wait", "them")
        text += f", {result.waiting} of which {wait} in the outbox until Redis takes {them}"
    text += f"{known(result)}.{f' {_why(result.reason)}' if result.waiting else ''}"
    show(result, text, as_json=as_json)
