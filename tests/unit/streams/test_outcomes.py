"""What is known of entries after tries that were answered, refused, cut off or never sent."""

import asyncio

import pytest
from redis.exceptions import ConnectionError, NoPermissionError, OutOfMemoryError, ResponseError  # noqa: A004

from abe_redis.client.calls import TooFewReplicasError, sent, unsent
from abe_redis.events.published import Published
from abe_redis.streams.outcomes import Outcomes, nothing_was_done

ENTRY = Published("1-1", duplicate=False, length=1, stream="s")
CUT = ConnectionError("the server closed the connection")


def failed(outcomes: Outcomes, error: BaseException, *numbers: int) -> None:
    with pytest.raises(type(error)), outcomes.awaited(numbers):
        raise error


def test_an_answer_settles_what_it_is_about() -> None:
    outcomes = Outcomes()
    with outcomes.awaited([1, 0, 2]):
        assert outcomes.uncertain == {0, 1, 2}
    for number, result in ((2, ENTRY), (0, ENTRY), (1, ResponseError("STREAMFULL"))):
        outcomes.learn(number, result)
    assert (sorted(outcomes.added), outcomes.uncertain) == ([0, 2], set())
    assert outcomes.in_order() == [ENTRY, ENTRY]


@pytest.mark.parametrize("error", [CUT, asyncio.CancelledError()])
def test_what_was_cut_off_stays_uncertain_until_it_is_known_to_be_there(error: BaseException) -> None:
    """A later refusal does not settle it: the first command may be carried out late."""
    outcomes = Outcomes()
    failed(outcomes, error, 0, 1)
    failed(outcomes, OutOfMemoryError("no memory"), 0, 1, 2)
    with outcomes.awaited([0, 1, 2]):
        pass
    outcomes.learn(0, ENTRY)
    assert (set(outcomes.added), outcomes.uncertain) == ({0}, {1})


@pytest.mark.parametrize(
    ("error", "certain"),
    [
        (CUT, False),
        (unsent(ConnectionError("no connection")), True),
        (sent(unsent(ConnectionError("no connection"))), False),
        (TooFewReplicasError("0 of 1 replicas had it"), False),
        (TimeoutError(), False),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'."), True),
        (ResponseError("MISCONF it cannot write to its disk"), True),
        (ResponseError("no upstream host"), False),
        (NoPermissionError("User u has no permissions to run the 'evalsha' command"), True),
        (NoPermissionError("ACL failure in script: User u has no permissions to run 'hset'"), False),
        (ResponseError("WRONGTYPE Operation against a key script: d, on @user_script:4."), False),
    ],
)
def test_which_errors_say_that_nothing_was_done(error: Exception, certain: bool) -> None:
    assert nothing_was_done(error) is certain
    outcomes = Outcomes()
    failed(outcomes, error, 0)
    assert outcomes.uncertain == (set() if certain else {0})
