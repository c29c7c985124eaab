"""An observer of the hooks may hear without saying anything."""

from abe_redis.observability.hooks import Observer, calling, handling, observed, publishing


def test_an_observer_may_hear_without_saying_anything() -> None:
    assert publishing("s", []) is None
    with observed(Observer()):
        end_of_publishing, end_of_call = publishing("s", []), calling("t")
        assert end_of_publishing is not None
        assert end_of_call is not None
        end_of_publishing([], None)
        end_of_call("done")
    assert calling("t") is None
    assert handling.__doc__
