"""What a publisher knows of how streams remember ids is bounded, however many streams there are."""

import pytest

from abe_redis.streams import seen


def test_what_is_known_of_streams_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seen, "_MOST_STREAMS", 2)
    views = seen.Views()
    for stream in ("first", "second", "third"):
        assert views.learn(stream, b"7 0 3 2 0 0") == 7
    assert views.of("first") == views.of("second") == seen.ALL, "they are asked about again"
    assert views.of("third") == seen.View(2, 3, has_earlier=False, said=b"0 3 2 0 0")
