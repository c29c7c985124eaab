"""Many events of one call: the steps in which they are added, and what an error says of each."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from abe_redis.errors import AbeRedisError
from abe_redis.events.published import Published
from abe_redis.streams.outcomes import Outcomes
from abe_redis.streams.publish import Draft

STEP = 100
STEP_BYTES = 1024 * 1024
"""Most events per command, so that many or large ones never block the server."""

ANSWER_SECONDS = 1.0
"""Time in which the last try of a step may still be answered, since an error has to say what was added."""


def steps(drafts: Sequence[Draft]) -> Iterator[list[Draft]]:
    """Some of the events at a time, in order."""
    step: list[Draft] = []
    size = 0
    for draft in drafts:
        size += draft.size
        if step and (len(step) == STEP or size > STEP_BYTES):
            yield step
            step, size = [], draft.size
        step.append(draft)
    if step:
        yield step


@contextmanager
def telling_what_was_added(done: list[Published], every: int) -> Iterator[Outcomes]:
    """Add the results of a step to those of the steps before it; if it fails, the error says which there are.

    Args:
        done: The results of the steps before it.
        every: The number of events of the call.
    """
    outcomes, before = Outcomes(), len(done)
    try:
        yield outcomes
    except AbeRedisError as error:
        step = {before + number: outcomes.added[number] for number in sorted(outcomes.added)}
        error.added = dict(enumerate(done)) | step
        error.uncertain = sorted(before + number for number in outcomes.uncertain)
        if every > 1:
            error.add_note(
                f"Of {every} events {len(error.added)} were added, and {len(error.uncertain)} more may have "
                "been; `added` and `uncertain` of this error say which."
            )
        raise
    finally:
        done.extend(outcomes.in_order())
