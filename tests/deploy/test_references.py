"""What refers to what in deploy/: pages to files, labels and ports to pods, units to each other."""

import fnmatch
import re
from pathlib import Path

import pytest

from tests.deploy.deployed import everything
from tests.deploy.reading import (
    ROOT,
    manifests,
    pods,
    unit,
    units,
)

NAME = "app.kubernetes.io/name"


def test_the_page_names_files_that_are_there_and_all_that_units_read() -> None:
    page = (ROOT / "docs/production.md").read_text("utf-8")
    named = {path for path in re.findall(r"\bdeploy/[\w./-]*\w", page) if path != "deploy/.env"}
    assert len(named) > 4
    assert all((ROOT / path).exists() for path in named)
    files = {file for path in units() for file in unit(path)["EnvironmentFile"]}
    assert files == {
        f"/etc/abe-redis/{name}" for name in re.findall(r"^\| `(\w+\.env)` \|", page, re.MULTILINE)
    }


def test_labels_names_and_ports_are_those_of_pods() -> None:
    labels = {name: pod["metadata"]["labels"] for name, pod in pods()}
    ports = {
        (name, port["name"]): port["containerPort"]
        for name, pod in pods()
        for port in pod["spec"]["containers"][0]["ports"]
    }
    assert all(label == {NAME: name} for name, label in labels.items())
    for _, one in manifests():
        spec, name = one.get("spec", {}), one["metadata"]["name"]
        match one["kind"]:
            case "Service":
                assert spec["selector"] == {NAME: name}
                assert {(name, port["targetPort"]) for port in spec["ports"]} <= set(ports)
            case "PodDisruptionBudget":
                assert spec["selector"]["matchLabels"] == {NAME: name}
                assert spec["maxUnavailable"] == 1
            case "Deployment" | "StatefulSet":
                assert spec["selector"]["matchLabels"] == labels[name]
                assert spec.get("serviceName", name) in labels
    selected = [
        *everything("matchLabels"),
        *({NAME: name} for values in everything("values") for name in values),
    ]
    assert {one[NAME] for one in selected if NAME in one} == set(labels)
    policed = {one["metadata"]["name"] for _, one in manifests() if one["kind"] == "NetworkPolicy"}
    assert policed == {*labels, "abe-redis"}
    services = [one["metadata"]["name"] for _, one in manifests() if one["kind"] == "Service"]
    urls = [one["data"]["REDIS_URL"] for _, one in manifests() if "REDIS_URL" in one.get("data", {})]
    assert [fnmatch.filter(services, url.split("/")[2].split(":")[0]) for url in urls] == [
        ["abe-redis-redis"]
    ]


@pytest.mark.parametrize("path", units(), ids=lambda path: path.name)
def test_a_unit_ends_in_peace_and_begins_again(path: Path) -> None:
    settings = unit(path)
    assert settings["Restart"] == ["always"]
    assert settings["StartLimitIntervalSec"] == ["0"]
    assert settings["KillSignal"] == ["SIGTERM"]
    assert settings["DynamicUser"] == ["yes"]
    assert all(file.startswith("/etc/abe-redis/") for file in settings["EnvironmentFile"])
