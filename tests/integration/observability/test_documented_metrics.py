"""What docs/metrics.md and docs/monitoring say of metrics is what there is."""

import json
import re
from pathlib import Path

import pytest

from abe_redis.observability.metrics.collectors import Metrics, QueueMetrics
from abe_redis.schemas import OutboxStats

ROOT = Path(__file__).parents[3]


def exposed() -> dict[str, tuple[str, str]]:
    """Every metric of ours: its kind and what it says of itself."""
    metrics, queue = Metrics(), QueueMetrics()
    queue.outbox = OutboxStats(waiting=0, refused=0)
    metrics.registry.register(queue)
    return {
        family.name + ("_total" if family.type == "counter" else ""): (family.type, family.documentation)
        for family in metrics.registry.collect()
        if family.name.startswith("abe_redis")
    }


def test_every_metric_is_documented_as_it_is() -> None:
    text = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(abe_redis\w+)` \| (\w+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    assert {name: (kind, words) for name, kind, _, words in rows} == exposed()


@pytest.mark.parametrize("path", ["docs/monitoring/alerts.yml", "docs/monitoring/grafana.json"])
def test_alerts_and_dashboard_ask_for_what_there_is(path: str) -> None:
    text = (ROOT / path).read_text(encoding="utf-8")
    named = set(re.findall(r"\babe_redis_\w+", text))
    suffixes = ("", "_bucket", "_count", "_sum")
    known = {name + suffix for name in exposed() for suffix in suffixes}
    assert named <= known
    assert len(named) >= 5


def test_the_dashboard_is_one_that_grafana_takes() -> None:
    board = json.loads((ROOT / "docs/monitoring/grafana.json").read_text(encoding="utf-8"))
    assert board["schemaVersion"] >= 39
    assert board["uid"] == "abe-redis"
    ids = [panel["id"] for panel in board["panels"]]
    assert len(ids) == len(set(ids))
    assert {variable["name"] for variable in board["templating"]["list"]} >= {"datasource", "stream"}
    taken: set[tuple[int, int]] = set()
    for panel in board["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, "panels lie over each other"
        taken |= cells
        assert panel["type"] == "row" or all(
            target["datasource"]["uid"] == "${datasource}" for target in panel["targets"]
        )
