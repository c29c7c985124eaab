"""Publishing many events: a line of JSON each, from a file or from stdin."""

import json
import sys
from collections.abc import Callable, Iterator
from itertools import batched
from typing import IO, TYPE_CHECKING, Any

from abe_redis.errors import AbeRedisError, PayloadError
from abe_redis.results import PublishLinesResult

if TYPE_CHECKING:
    from abe_redis.operations import Operations

_STEP = 500


async def publish_lines(
    operations: "Operations",
    lines: IO[str],
    *,
    stream: str | None,
    first: int,
    on_progress: Callable[[int], None],
) -> PublishLinesResult:
    """Publish each line that is not empty, in order; what a file of any length needs of memory is small.

    Args:
        operations: The queue.
        lines: JSON objects, one a line.
        stream: By default the host's topic.
        first: The number of the line to begin with, counted from 1.
        on_progress: Is told how many more were published.

    Raises:
        PayloadError: A line is no JSON object; the sentence says which, and how to go on.
        AbeRedisError: As for `publish_event`; how to go on is said on stderr.
    """
    result = PublishLinesResult()
    events = _Events(lines, first)
    for step in batched(events, _STEP):
        try:
            published = await operations.publish_many([payload for _, payload in step], stream=stream)
        except AbeRedisError:
            print(f"abe-redis: {_go_on(step[0][0], result.lines)}", file=sys.stderr)  # noqa: T201
            raise
        result.lines += len(step)
        result.duplicates += sum(one.duplicate for one in published)
        result.waiting += sum(one.waiting for one in published)
        on_progress(len(step))
    if events.bad is not None:
        number, why = events.bad
        raise PayloadError(f"Line {number} is no JSON object ({why}). {_go_on(number, result.lines)}")
    return result


class _Events:
    """Numbered payloads up to the first line that is none, which is then `bad`."""

    def __init__(self, lines: IO[str], first: int) -> None:
        self._lines, self._first = lines, first
        self.bad: tuple[int, str] | None = None

    def __iter__(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, line in enumerate(self._lines, 1):
            if number < self._first or not line.strip():
                continue
            try:
                payload = json.loads(line)
            except ValueError as error:
                self.bad = number, str(error)
                return
            except RecursionError:
                self.bad = number, "it is nested too deeply"
                return
            if not isinstance(payload, dict):
                self.bad = number, f"it is a {type(payload).__name__}"
                return
            yield number, payload


def _go_on(number: int, published: int) -> str:
    return f"Published before it: {published}. To go on there: --from-line {number}."
