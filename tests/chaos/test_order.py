"""The order of conversations, from the handlers' own log; and the proof that this can fail."""

import pytest

from tests.chaos.order import Run
from tests.servers import Server


@pytest.mark.promise("in the order in which they were published, across all workers of the group.")
@pytest.mark.promise("With `--ordered`, the events of a conversation in one topic are handled one at a time")
@pytest.mark.parametrize("freeze", [False, True], ids=["killed-and-added", "and-frozen"])
def test_each_conversation_is_handled_in_order(own_server: Server, freeze: bool) -> None:
    account = Run(own_server, conversations=60, events=20, freeze=freeze).play()
    assert len(account.finished) == account.published == 1200
    assert account.out_of_order == []
    assert account.violations == []
    if not freeze:
        assert account.at_the_same_time == 0


@pytest.mark.heavy
def test_unordered_workers_break_the_order(own_server: Server) -> None:
    account = Run(own_server, conversations=20, events=50, freeze=False, ordered=False).play()
    assert account.out_of_order
    assert account.at_the_same_time
