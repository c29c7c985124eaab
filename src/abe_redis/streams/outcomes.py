"""What is known of entries that are being added, over all tries."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from redis.exceptions import NoPermissionError

from abe_redis.client import failures, passing_states
from abe_redis.client.calls import was_sent
from abe_redis.events.published import Published


class Outcomes:
    """Which of some entries were added, and which may have been, each by its number.

    An entry that is in neither was certainly not added.
    """

    def __init__(self) -> None:
        self.added: dict[int, Published] = {}
        self.uncertain: set[int] = set()
        """Those that a command named whose answer did not come. What answers a later try settles nothing, but
        that it was added: the first command may be carried out late."""

    @contextmanager
    def awaited(self, numbers: Sequence[int]) -> Iterator[None]:
        """Send a command that names these entries, and read its answer."""
        named = [number for number in numbers if number not in self.uncertain]
        self.uncertain.update(named)
        try:
            yield
        except Exception as error:
            if nothing_was_done(error):
                self.uncertain.difference_update(named)
            raise
        self.uncertain.difference_update(named)

    def learn(self, number: int, result: object) -> None:
        """Note the result of an entry; one that is not `Published` was not added."""
        if isinstance(result, Published):
            self.added[number] = result
            self.uncertain.discard(number)

    def in_order(self) -> list[Published]:
        """The results, in the order of the entries."""
        return [self.added[number] for number in sorted(self.added)]


def nothing_was_done(error: BaseException) -> bool:
    """Whether an error in place of a command's answer says that nothing was added."""
    if isinstance(error, NoPermissionError):
        return "script" not in str(error)  # within a script, it may stand behind entries that were added
    return not was_sent(error) or failures.is_refused_login(error) or passing_states.refuses_at_once(error)
