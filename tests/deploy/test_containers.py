"""Images, containers and volumes in deploy/: which version they are, and how little they may do."""

import re
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.version import Version

from abe_redis import Settings
from abe_redis.doctor.rights import ROLES
from abe_redis.streams.patterns import Patterns
from tests.deploy.deployed import OURS, everything
from tests.deploy.reading import (
    DEPLOY,
    KUBERNETES,
    REDIS_CONF,
    ROOT,
    SYSTEMD,
    Yaml,
    compose_file,
    dockerfile,
    instructions,
    manifests,
    pods,
    programs,
    redis_arguments,
    unit,
)

BASES = {text.split()[0] for stage in instructions()[1:] for name, text in stage if name == "FROM"}


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
