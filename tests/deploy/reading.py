"""What the files in deploy/ start: programs, their command lines and variables, and who asks after them."""

import copy
import functools
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
DOCKERFILE = DEPLOY / "Dockerfile"
KUBERNETES = DEPLOY / "kubernetes"
SYSTEMD = DEPLOY / "systemd"
REDIS_CONF = DEPLOY / "redis.conf"

type Yaml = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Program:
    """One program that a file starts."""

    where: str
    command: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    """By name; what comes from a secret is empty."""
    grace: float = 0
    """Seconds from SIGTERM to SIGKILL."""
    asked: tuple[tuple[int, str], ...] = ()
    """Ports and paths at which others ask whether it lives."""
    scraped: int | None = None

    def __str__(self) -> str:
        return self.where


@functools.cache
def programs() -> tuple[Program, ...]:
    """Every program of every file, Redis too."""
    return (*compose(), *kubernetes(), *systemd())


# --- Containers ------------------------------------------------------------------------------------------


def compose_file() -> Yaml:
    """compose.yaml, its anchors merged."""
    loaded: Yaml = yaml.safe_load(COMPOSE.read_text("utf-8"))
    return loaded


def compose() -> Iterator[Program]:
    """The services of compose.yaml."""
    for name, service in compose_file()["services"].items():
        test = service["healthcheck"]["test"]
        yield Program(
            f"compose {name}",
            (*service.get("entrypoint", dockerfile()["ENTRYPOINT"]), *service["command"]),
            service["environment"],
            seconds(service["stop_grace_period"]),
            tuple(
                (parts.port or 80, parts.path)
                for url in re.findall(r"http://[^']+", test[-1])
                for parts in [urlsplit(url)]
            ),
        )


def redis_arguments(program: Program) -> dict[str, list[str]]:
    """The options of a Redis server's command line, each with its values."""
    _, _, *words = program.command
    found: dict[str, list[str]] = {}
    for word in words:
        if word.startswith("--"):
            values = found.setdefault(word.removeprefix("--"), [])
        else:
            values.append(word)
    return found


def dockerfile() -> dict[str, Any]:
    """Of the image that is made, the exec forms, the user and the variables."""
    last = instructions()[-1]
    exec_forms = {name: yaml.safe_load(text) for name, text in last if name in {"ENTRYPOINT", "CMD"}}
    return exec_forms | {name: text for name, text in last if name in {"USER", "WORKDIR"}}


def instructions() -> list[list[tuple[str, str]]]:
    """The Dockerfile's stages, each as its instructions; what stands before the first, first."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    stages: list[list[tuple[str, str]]] = [[]]
    for line in filter(None, text.splitlines()):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages


# --- Kubernetes ------------------------------------------------------------------------------------------


def manifests(*, examples: bool = False) -> list[tuple[Path, Yaml]]:
    """Every object, with its file; the examples' of what is not to be applied as it is, if wanted."""
    return [
        (path, one)
        for path in sorted(KUBERNETES.glob("*.yaml"))
        if path.name != "kustomization.yaml" and (examples or ".example" not in path.name)
        for one in copy.deepcopy(_objects(path))
    ]


@functools.cache
def _objects(path: Path) -> tuple[Yaml, ...]:
    return tuple(yaml.safe_load_all(path.read_text("utf-8")))


def pods() -> list[tuple[str, Yaml]]:
    """The pods' templates, by the name of what makes them."""
    return [
        (one["metadata"]["name"], one["spec"]["template"])
        for _, one in manifests()
        if one["kind"] in {"Deployment", "StatefulSet"}
    ]


def kubernetes() -> Iterator[Program]:
    """The containers of the manifests."""
    shared = {one["metadata"]["name"]: one["data"] for _, one in manifests() if one["kind"] == "ConfigMap"}
    for name, pod in pods():
        (container,) = pod["spec"]["containers"]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        variables = dict[str, str]()
        for source in container.get("envFrom", ()):
            variables |= shared[source["configMapRef"]["name"]]
        for one in container["env"]:
            variables[one["name"]] = one.get("value", "")
        asks = [
            probe["httpGet"]
            for kind in ("startupProbe", "readinessProbe", "livenessProbe")
            if "httpGet" in (probe := container.get(kind, {}))
        ]
        scraped = pod["metadata"].get("annotations", {}).get("prometheus.io/port")
        yield Program(
            f"kubernetes {name}",
            (*container["command"], *container.get("args", ())),
            variables,
            pod["spec"]["terminationGracePeriodSeconds"],
            tuple((ports[ask["port"]], ask["path"]) for ask in asks),
            int(scraped) if scraped else None,
        )


# --- systemd ---------------------------------------------------------------------------------------------


def units() -> list[Path]:
    """The units, without what is common to them."""
    return sorted(SYSTEMD.glob("*.service"))


def unit(path: Path) -> dict[str, list[str]]:
    """A unit's settings, as systemd puts them together: the common ones are read after its own."""
    found: dict[str, list[str]] = {}
    drop_ins = [*(SYSTEMD / "abe-redis-.service.d").glob("*.conf"), *Path(f"{path}.d").glob("*.conf")]
    for part in (path, *sorted(drop_ins, key=lambda one: one.name)):
        for line in part.read_text("utf-8").splitlines():
            if "=" in line and not line.startswith("#"):
                name, _, value = line.partition("=")
                found.setdefault(name, []).append(value.replace("%i", "1").replace("%S", "/var/lib"))
    return found


def systemd() -> Iterator[Program]:
    """The units' programs, without the directory that they are in."""
    for path in units():
        settings = unit(path)
        (start,) = settings["ExecStart"]
        program, *arguments = shlex.split(start)
        yield Program(
            f"systemd {path.name}",
            (Path(program).name, *arguments),
            dict(one.split("=", 1) for one in settings["Environment"]),
            float(settings["TimeoutStopSec"][0]),
        )


def seconds(text: str) -> float:
    """A duration as compose.yaml has it."""
    assert text.endswith("s"), text
    return float(text[:-1])
