"""Whose series are asked for, and when."""

import time

import pytest
from prometheus_client import CollectorRegistry, Counter

from abe_redis.observability.metrics.series import UNUSED_SECONDS, SeriesOfStreams


def test_a_stream_is_asked_for_after_ten_minutes_without_an_event_and_each_ten_minutes_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    registry = CollectorRegistry()
    counter = Counter("some", "Some.", ["stream"], registry=registry)
    series = SeriesOfStreams()

    def shown() -> set[str]:
        return {sample.labels["stream"] for metric in registry.collect() for sample in metric.samples}

    series.of(counter, "a", stream="a").inc()
    now += UNUSED_SECONDS - 1
    assert not series.unused()
    series.of(counter, "b", stream="b").inc()
    now += 1
    asked = series.unused()
    assert list(asked) == ["a"]
    assert not series.unused()
    series.of(counter, "a", stream="a").inc()  # meanwhile it had an event, at the same moment or later
    now += UNUSED_SECONDS
    asked = series.unused()
    assert list(asked) == ["a", "b"]
    now += 1
    series.of(counter, "a", stream="a").inc()
    for stream, mark in asked.items():
        series.forget(stream, mark)
    assert shown() == {"a"}
