"""What no checker sees: that the files fit abe-redis, and each other."""

import fnmatch
import re
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.version import Version

from abe_redis import Settings
from abe_redis.doctor.rights import ROLES
from abe_redis.streams.patterns import Patterns
from tests.deploy.command_lines import parsed, variables
from tests.deploy.reading import (
    DEPLOY,
    KUBERNETES,
    REDIS_CONF,
    ROOT,
    SYSTEMD,
    Program,
    Yaml,
    compose_file,
    dockerfile,
    instructions,
    manifests,
    pods,
    programs,
    redis_arguments,
    unit,
    units,
)

FILES = [path for path in sorted(DEPLOY.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
OURS = [program for program in programs() if program.command[0] == "abe-redis"]
BASES = {text.split()[0] for stage in instructions()[1:] for name, text in stage if name == "FROM"}
SPARE = 5
"""Seconds that a worker has between the end of --drain and SIGKILL, to give back what is left."""
NAME = "app.kubernetes.io/name"


def listens(program: Program) -> set[int]:
    """The ports at which a program of ours or Slack's webhook listens."""
    if program.command[0] == "abe-redis":
        said = parsed(program.command[1:])
        return {said[name] for name in ("metrics_port", "port") if said.get(name)}
    words = program.command
    return {int(after) for word, after in pairwise(words) if word == "--port"}


# --- Command lines ---------------------------------------------------------------------------------------


def test_every_way_to_deploy_has_all_that_there_is() -> None:
    roles = {"worker", "mcp", "listen"}
    for kind in ("compose", "kubernetes", "systemd"):
        of_kind = [program for program in programs() if program.where.startswith(kind)]
        ours = {parsed(program.command[1:])["command"] for program in of_kind if program in OURS}
        assert ours == roles
        assert sum(program.command[0] == "slack-webhook-server" for program in of_kind) == 1


@pytest.mark.parametrize("program", OURS, ids=str)
def test_our_own_command_line_takes_it(program: Program) -> None:
    parsed(program.command[1:])


def test_the_webhook_is_started_in_one_way() -> None:
    """Its --help crashes, so what it takes is seen by starting it, which test_runs does with compose's."""
    starts = [program for program in programs() if program.command[0] == "slack-webhook-server"]
    assert {(program.command[1], *program.command[3:]) for program in starts} == {
        ("--host", "--port", "3000", "--no-env-file", "--log-dir=")
    }


@pytest.mark.parametrize("program", OURS, ids=str)
def test_a_draining_worker_gets_its_full_time(program: Program) -> None:
    if (drain := parsed(program.command[1:]).get("drain")) is not None:
        assert "--drain" in program.command, "let readers see it beside the grace period"
        assert program.grace >= drain + SPARE


@pytest.mark.parametrize("program", [one for one in programs() if one.asked or one.scraped], ids=str)
def test_a_program_is_asked_where_it_listens_and_never_about_redis(program: Program) -> None:
    for port, path in program.asked:
        assert port in listens(program)
        assert path == ("/healthz" if program in OURS else "/openapi.json")
    if program.where.startswith("kubernetes"):
        said = parsed(program.command[1:]) if program in OURS else {}
        assert program.scraped == said.get("metrics_port")
        assert said.get("metrics_host", "0.0.0.0") == "0.0.0.0"


def test_every_program_that_serves_is_asked() -> None:
    asked = {program.where for program in programs() if program.asked}
    assert asked == {
        f"{kind}{name}"
        for kind in ("compose ", "kubernetes abe-redis-")
        for name in ("webhook", "listener", "worker", "mcp")
    }


# --- Variables and secrets -------------------------------------------------------------------------------


@pytest.mark.parametrize("program", programs(), ids=str)
def test_every_variable_is_read_by_somebody(program: Program) -> None:
    assert set(program.variables) <= variables()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_variable_that_is_named_exists(path: Path) -> None:
    """Also in comments, and in what people fill in."""
    named = set(re.findall(r"\b(?:ABE_REDIS|REDIS|SLACK|QUEUE)_[A-Z_]+\b", path.read_text("utf-8")))
    assert named <= variables()


def is_secret(name: str) -> bool:
    return re.search("PASSWORD|TOKEN|SECRET|AUTH", name) is not None


@pytest.mark.parametrize("program", programs(), ids=str)
def test_no_secret_has_a_value(program: Program) -> None:
    for name, value in program.variables.items():
        if is_secret(name):
            assert not value or re.fullmatch(r"\$\{[A-Z_]+:\?[^}]+\}", value), name


def test_the_examples_have_no_secrets_and_all_that_is_asked_for() -> None:
    lines = [
        line for line in (DEPLOY / "env.example").read_text("utf-8").splitlines() if line[:1] not in {"", "#"}
    ]
    given = dict(line.split("=", 1) for line in lines)
    assert not any(value for name, value in given.items() if is_secret(name))
    wanted = set(re.findall(r"\$\{(\w+):", (DEPLOY / "compose.yaml").read_text("utf-8")))
    assert set(given) == wanted

    secrets = [one for _, one in manifests(examples=True) if one["kind"] == "Secret"]
    assert {value for one in secrets for value in one["stringData"].values()} == {"REPLACE-ME"}
    there = {(one["metadata"]["name"], key) for one in secrets for key in one["stringData"]}
    assert there == {(one["name"], one["key"]) for one in everything("secretKeyRef")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_looks_like_a_secret(path: Path) -> None:
    assert not re.search(
        r"xox[a-z]-[A-Za-z0-9]|xapp-|\b[0-9a-f]{32}\b|://[^/\s]*:[^/\s]*@", path.read_text("utf-8")
    )


def everything(key: str) -> list[Any]:
    """What stands under a key anywhere in the manifests."""

    def within(node: Any) -> list[Any]:
        if isinstance(node, list):
            return [found for one in node for found in within(one)]
        if not isinstance(node, dict):
            return []
        return [value for name, value in node.items() if name == key] + within([*node.values()])

    return within([one for _, one in manifests()])


# --- Images and containers -------------------------------------------------------------------------------


def test_images_are_this_version_and_never_the_latest() -> None:
    release = Version(version("abe-redis")).base_version
    (renamed,) = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))["images"]
    assert renamed["newTag"] == release
    images = {service["image"] for service in compose_file()["services"].values()}
    assert set(everything("image")) == images
    (server,) = images - {f"abe-redis:{release}"}
    assert server.startswith("redis:8.6.")
    assert f"-t abe-redis:{release} " in (DEPLOY / "Dockerfile").read_text("utf-8")


def test_the_image_runs_as_a_numbered_user_from_a_python_that_slack_mcp_takes() -> None:
    image = dockerfile()
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", image["USER"])
    assert (image["ENTRYPOINT"], image["CMD"]) == (["abe-redis"], ["--help"])
    assert {base.partition("@")[0] for base in BASES} == {"python:3.13.15-slim-trixie", "uv", "${FROM}"}


def test_images_of_others_are_named_by_what_they_contain() -> None:
    """A tag may be pushed anew; a digest cannot be."""
    others = [base for base in BASES if base not in {"uv", "${FROM}"}]
    others += [image for image in everything("image") if not image.startswith("abe-redis:")]
    others += [one["image"] for one in compose_file()["services"].values() if "abe-redis" not in one["image"]]
    assert len(others) == 3
    assert all(re.fullmatch(r"[a-z]+:[\w.-]+@sha256:[0-9a-f]{64}", one) for one in others)
    brought = yaml.safe_load((ROOT / ".github/dependabot.yml").read_text("utf-8"))["updates"]
    assert {"docker", "docker-compose"} <= {one["package-ecosystem"] for one in brought}


def test_the_image_leaves_out_nothing_that_it_copies() -> None:
    rules = [line for line in (ROOT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] != "#"]
    taken = [line.removeprefix("!") for line in rules if line.startswith("!")]
    assert rules[0] == "*"
    sources = {
        word
        for stage in instructions()
        for name, text in stage
        if name == "COPY" and not text.startswith("--from")
        for word in text.split()[:-1]
    }
    assert sources == set(taken)
    assert all((ROOT / source).exists() for source in sources)


def test_no_service_can_do_more_than_it_must() -> None:
    for name, service in compose_file()["services"].items():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert not {"configs", "secrets"} & set(service), "compose could not write them into that root"
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    redis = compose_file()["services"]["redis"]
    assert "ports" not in redis
    assert redis["networks"] == ["queue"]
    assert compose_file()["networks"]["queue"]["internal"] is True


def test_redis_is_the_same_everywhere() -> None:
    (conf,) = (one["data"]["redis.conf"] for _, one in manifests() if "redis.conf" in one.get("data", {}))
    assert conf == REDIS_CONF.read_text("utf-8")
    servers = [program for program in programs() if Path(program.command[0]).name == "redis-server"]
    options = [redis_arguments(program) for program in servers]
    assert [found.pop("requirepass") for found in options] == [
        ["${REDIS_PASSWORD:?is missing in .env}"],
        ["$(REDISCLI_AUTH)"],
    ]
    assert [found["user"].pop(2) for found in options] == [
        ">${MCP_REDIS_PASSWORD:?is missing in .env}",
        ">$(OBSERVER_PASSWORD)",
    ]
    (line,) = (role.setuser(Patterns(Settings().patterns)) for role in ROLES if role.reads_only)
    name, rules = line.removeprefix("ACL SETUSER ").split(" reset on >PASSWORD ")
    assert options == [{"user": [name, "on", *rules.split()]}] * 2


def test_the_mcp_server_is_redis_observer_as_long_as_it_only_reads() -> None:
    for program in OURS:
        of_agents = "mcp" in program.command and not program.where.startswith("systemd")
        user = program.variables.get("REDIS_USERNAME", "")
        assert ("abe-observer" in user) == of_agents
    assert unit(SYSTEMD / "abe-redis-mcp.service")["EnvironmentFile"][-1] == "/etc/abe-redis/observer.env"


@pytest.mark.parametrize(("name", "pod"), pods(), ids=[name for name, _ in pods()])
def test_no_pod_can_do_more_than_it_must(name: str, pod: Yaml) -> None:
    spec = pod["spec"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = spec["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
    assert "memory" in container["resources"]["limits"]
    if container["image"].startswith("abe-redis"):
        user, group = map(int, dockerfile()["USER"].split(":"))
        assert spec["securityContext"]["runAsUser"] == user
        assert spec["securityContext"]["runAsGroup"] == group


def test_the_outbox_is_on_a_volume_that_stays() -> None:
    for program in programs():
        if program.command[0] != "slack-webhook-server":
            continue
        outbox = program.variables["REDIS_OUTBOX"]
        if program.where.startswith("compose"):
            assert f"outbox:{Path(outbox).parent}" in compose_file()["services"]["webhook"]["volumes"]
        elif program.where.startswith("systemd"):
            (state,) = unit(SYSTEMD / "abe-redis-webhook.service")["StateDirectory"]
            assert Path(outbox).parent == Path("/var/lib") / state
        else:
            (of_webhook,) = (
                one
                for _, one in manifests()
                if one["kind"] == "StatefulSet" and one["metadata"]["name"] == "abe-redis-webhook"
            )
            (claim,) = of_webhook["spec"]["volumeClaimTemplates"]
            (container,) = of_webhook["spec"]["template"]["spec"]["containers"]
            mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
            assert mounts[claim["metadata"]["name"]] == str(Path(outbox).parent)


@pytest.mark.parametrize("kind", ["compose", "kubernetes", "systemd"])
def test_the_listener_has_an_outbox_of_its_own_on_a_volume_that_stays(kind: str) -> None:
    (listener,) = (one for one in programs() if one.where.startswith(kind) and "listen" in one.command)
    directory = str(Path(listener.variables["REDIS_OUTBOX"]).parent)
    if kind == "compose":
        volumes = [service.get("volumes", []) for service in compose_file()["services"].values()]
        assert f"listener:{directory}" in compose_file()["services"]["listener"]["volumes"]
        assert sum(one.startswith("listener:") for of_one in volumes for one in of_one) == 1
    elif kind == "systemd":
        (state,) = unit(SYSTEMD / "abe-redis-listener.service")["StateDirectory"]
        assert directory == f"/var/lib/{state}"
    else:
        (pod,) = (
            one
            for _, one in manifests()
            if one["kind"] == "StatefulSet" and one["metadata"]["name"] == "abe-redis-listener"
        )
        (claim,) = pod["spec"]["volumeClaimTemplates"]
        (container,) = pod["spec"]["template"]["spec"]["containers"]
        mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
        assert mounts[claim["metadata"]["name"]] == directory


def test_the_page_names_files_that_are_there_and_all_that_units_read() -> None:
    page = (ROOT / "docs/production.md").read_text("utf-8")
    named = {path for path in re.findall(r"\bdeploy/[\w./-]*\w", page) if path != "deploy/.env"}
    assert len(named) > 4
    assert all((ROOT / path).exists() for path in named)
    files = {file for path in units() for file in unit(path)["EnvironmentFile"]}
    assert files == {
        f"/etc/abe-redis/{name}" for name in re.findall(r"^\| `(\w+\.env)` \|", page, re.MULTILINE)
    }


# --- What refers to what ---------------------------------------------------------------------------------


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
