"""What the metrics of a process count."""

import pytest

from abe_redis.observability.hooks import OF_STRANGERS
from abe_redis.observability.metrics.collectors import Metrics


@pytest.mark.parametrize("reason", sorted(OF_STRANGERS))
def test_a_stranger_is_no_answer_that_slack_waited_for(reason: str) -> None:
    metrics = Metrics()
    for fate, why in (("refused", reason), ("refused", "too slow"), ("answered", "")):
        end = metrics.receiving("http")
        assert end is not None
        end(fate, why)  # type: ignore[arg-type]
    answers = metrics.registry.get_sample_value("abe_redis_answer_seconds_count", {"door": "http"})
    assert answers == 2
    refused = metrics.registry.get_sample_value("abe_redis_refused_total", {"door": "http", "reason": reason})
    assert refused == 1
