"""The states of a stream that an ordered consumer owns."""

import pytest

from abe_redis.consuming.ordered.owned_stream import OwnedStream, State
from abe_redis.runtime import clock


def owned(state: State = State.CLAIMED, last: str = "") -> OwnedStream:
    now = clock.now()
    return OwnedStream(until=now + 60, asked_at=now, state=state, last=last)


def test_a_claimed_stream_is_ready_once_its_entries_are_loaded() -> None:
    stream = owned()
    stream.loaded("5-0")
    assert (stream.state, stream.last) == (State.READY, "5-0")


def test_a_stream_that_fell_behind_is_loaded_again_from_where_it_was() -> None:
    stream = owned(State.READY, "5-0")
    stream.fell_behind()
    assert (stream.state, stream.last) == (State.CLAIMED, "5-0")


@pytest.mark.parametrize("happens", ["loaded", "fell_behind", "revoke"])
def test_nothing_but_keep_ends_a_revocation(happens: str) -> None:
    stream = owned(State.READY, "5-0")
    stream.revoke()
    getattr(stream, happens)(*(["9-0"] if happens == "loaded" else []))
    assert (stream.state, stream.last) == (State.REVOKING, "5-0")


@pytest.mark.parametrize(
    ("last", "state"), [("", State.CLAIMED), ("5-0", State.READY)], ids=["never loaded", "loaded"]
)
def test_a_kept_stream_is_read_only_if_it_was_loaded(last: str, state: State) -> None:
    stream = owned(State.REVOKING, last)
    stream.keep()
    assert stream.state is state


@pytest.mark.parametrize("state", [State.CLAIMED, State.READY])
def test_keep_changes_nothing_without_a_revocation(state: State) -> None:
    stream = owned(state)
    stream.keep()
    stream.keep_if_slow(clock.now() + 100, patience=0, kept_for=5)
    assert (stream.state, stream.kept_until) == (state, 0.0)


def test_a_revocation_ends_when_the_handlers_are_slower_than_its_first_moment_allows() -> None:
    stream = owned(State.READY, "5-0")
    stream.revoke()
    began = clock.now()
    stream.revoke()  # the patience counts from the first time
    stream.keep_if_slow(began + 10, patience=20, kept_for=5)
    assert stream.state is State.REVOKING
    stream.keep_if_slow(began + 21, patience=20, kept_for=5)
    assert (stream.state, stream.kept_until) == (State.READY, began + 26)


def test_an_ownership_ends_unless_a_request_confirms_it() -> None:
    stream = owned()
    later = stream.until
    assert stream.is_certain(later - 1)
    assert not stream.is_certain(later)
    stream.confirm(later - 1, later + 30)
    assert stream.is_certain(later + 29)
