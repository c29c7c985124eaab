"""Changes in steps: a step that has begun ends, and what it did is recorded, whatever becomes of the call."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import anyio
from redis.asyncio import Redis
from redis.exceptions import ConnectionError  # noqa: A004 - redis' own

from abe_redis.client import failures
from abe_redis.errors import AbeRedisError
from abe_redis.operations.scope import Scope
from abe_redis.runtime import clock, tasks
from abe_redis.runtime.plurals import named

END_SECONDS = 5.0
"""Time that a step, and then its record, has after its call was cancelled."""

RETRY_SECONDS = 3.0
"""Time for further tries of a step whose answer was lost."""


class Change:
    """A change that goes on: what is done for certain, and what may be."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.facts = dict[str, object]()
        """What is done, for the audit."""
        self.done = list[str]()
        """What is done, for whoever hears of a failure: ids or names."""
        self.perhaps = list[str]()
        """What may be done: the answer about it was lost."""

    async def step[Result](
        self,
        write: Callable[[], Awaitable[Result]],
        about: Sequence[str],
        note: Callable[[Result, bool], None],
        *,
        repeats: bool = True,
    ) -> Result:
        """Carry out a step to its end, though the call is cancelled meanwhile.

        Args:
            write: The step.
            about: What it changes: ids or names.
            note: Notes its result, and whether an earlier try, whose answer was lost, may have done it.
            repeats: Whether it does no harm to try again after a lost answer.

        Returns:
            Its result.

        Raises:
            failures.FAILURES: It failed; if it may be done all the same, `perhaps` says so.
        """
        await anyio.lowlevel.checkpoint_if_cancelled()
        return await tasks.to_its_end(self._insist(write, about, note, repeats=repeats), within=END_SECONDS)

    async def _insist[Result](
        self,
        write: Callable[[], Awaitable[Result]],
        about: Sequence[str],
        note: Callable[[Result, bool], None],
        *,
        repeats: bool,
    ) -> Result:
        lost: BaseException | None = None
        until, tries = 0.0, 0
        while True:
            try:
                result = await write()
            except asyncio.CancelledError:
                self.perhaps += about
                raise
            except failures.FAILURES as error:
                if is_lost := failures.is_lost(error):
                    lost, until = error, until or clock.now() + RETRY_SECONDS
                if lost is None:
                    raise
                may_pass = repeats and (is_lost or failures.passes(error))
                if not may_pass or clock.now() > until:
                    self.perhaps += about
                    raise lost from None
                await anyio.sleep(failures.pause_seconds(tries))
                tries += 1
            else:
                note(result, lost is not None)
                return result

    def doubt(self, what: str) -> None:
        """Note that something may be done: the answer to the first try was lost, and no later one tells.

        Raises:
            redis.ConnectionError: Always.
        """
        self.perhaps.append(what)
        raise ConnectionError("the first answer was lost")


@asynccontextmanager
async def changing(
    scope: Scope, what: str, within: float | None = None, /, *, doing: str, look: str, **facts: object
) -> AsyncIterator[Change]:
    """Open Redis for a change, and record in the end what was done, also if the block fails or is cancelled.

    Args:
        scope: The caller's.
        what: The name of the change in the audit.
        within: Seconds after which Redis refuses it, if it does.
        doing: What is done, for sentences about failures.
        look: The command that shows whether it is done.
        facts: More about the change for the audit.
    """
    change: Change | None = None
    try:
        with told_of_part(lambda: change.done if change else []):
            async with scope.redis(doing) as redis:
                change = Change(redis)
                try:
                    yield change
                except failures.FAILURES as error:
                    if not change.perhaps:
                        raise
                    about = change.perhaps
                    raise failures.uncertain(
                        error, scope.settings, doing=doing, about=about, look=look, within=within
                    ) from None
    finally:
        if change is not None:
            uncertain = {"uncertain": change.perhaps} if change.perhaps else {}
            noting = scope.note(what, **facts, **change.facts, **uncertain)
            await tasks.to_its_end(noting, within=END_SECONDS)


@contextmanager
def told_of_part(done: Callable[[], Sequence[str]]) -> Iterator[None]:
    """Say in the sentence of a failure which part of a change is done, if some is.

    Args:
        done: Returns the ids or names of what is done.
    """
    try:
        yield
    except AbeRedisError as error:
        if part := done():
            error.args = (f"{error} Done before that: {named(part)}.",)
        raise
