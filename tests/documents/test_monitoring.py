"""The alerts and the dashboard, as Prometheus itself understands them."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.needs import needed

ROOT = Path(__file__).parents[2]


@pytest.fixture
def promtool() -> str:
    return needed(shutil.which("promtool"), "promtool is not on PATH: apt-get install prometheus")


def test_the_alerts_tell_what_they_are_for(promtool: str) -> None:
    """Of series as Prometheus has them, at the right time, and of nothing else."""
    rules = "docs/monitoring/alerts.test.yml"
    done = subprocess.run(
        [promtool, "test", "rules", rules], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    alerts = set(re.findall(r"alert: (\w+)", (ROOT / "docs/monitoring/alerts.yml").read_text("utf-8")))
    tested = set(re.findall(r"alertname: (\w+)", (ROOT / rules).read_text("utf-8")))
    assert tested == alerts


def test_prometheus_scrapes_what_systemd_starts(promtool: str) -> None:
    configuration = ROOT / "docs/monitoring/prometheus.yml"
    done = subprocess.run(
        [promtool, "check", "config", configuration.name],
        cwd=configuration.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    scraped = set(re.findall(r"127\.0\.0\.1:(\d+)", configuration.read_text(encoding="utf-8")))
    served = set[str]()
    for unit in (ROOT / "deploy/systemd").glob("*.service"):
        for port in re.findall(r"--metrics-port (\S+)", unit.read_text(encoding="utf-8")):
            served |= {port.replace("%i", instance) for instance in "12"}
    assert scraped == served


def test_prometheus_understands_what_the_dashboard_asks(promtool: str, tmp_path: Path) -> None:
    board = json.loads((ROOT / "docs/monitoring/grafana.json").read_text(encoding="utf-8"))
    asked = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    assert len(asked) >= 8
    for variable, value in (
        ("$__rate_interval", "5m"),
        ("$__range", "1h"),
        ("$stream", ".*"),
        ("$group", ".*"),
    ):
        asked = [one.replace(variable, value) for one in asked]
    rules = [{"record": f"asked:{number}", "expr": one} for number, one in enumerate(asked)]
    path = tmp_path / "rules.yml"
    path.write_text(json.dumps({"groups": [{"name": "asked", "rules": rules}]}), encoding="utf-8")
    done = subprocess.run([promtool, "check", "rules", path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
