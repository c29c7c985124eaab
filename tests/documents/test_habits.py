"""The project's habits: workflows that are safe and cover what is promised, forms, changelog, releases."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.needs import needed
from tests.patience import PATIENCE
from tests.server_binaries import system_binary

ROOT = Path(__file__).parents[2]
GITHUB = ROOT / ".github"
pytestmark = pytest.mark.skipif(not GITHUB.is_dir(), reason="an sdist has no workflows")

WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (GITHUB / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml")
CHANGELOG = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CHANGES = ["Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"]
names = [path.name for path in WORKFLOWS]


def read(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def jobs(path: Path) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(path)["jobs"]
    return found


def steps() -> Iterator[tuple[str, dict[str, Any]]]:
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            for step in job.get("steps", []):
                yield f"{path.name}: {name}", step


def tool(name: str, *arguments: str | Path) -> None:
    program = Path(sys.executable).with_name(name)
    done = subprocess.run(
        [program, *arguments], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# Workflows


def test_workflows_are_what_github_takes() -> None:
    assert {"ci.yml", "codeql.yml", "audit.yml", "docs.yml", "release.yml"} <= set(names)
    tool("check-jsonschema", "--builtin-schema", "vendor.github-workflows", *WORKFLOWS)


def test_workflows_are_safe() -> None:
    """Also with what zizmor says to the pedantic only."""
    tool("zizmor", "--offline", "--pedantic", "--quiet", ".")


@pytest.mark.parametrize("path", WORKFLOWS, ids=names)
def test_nothing_is_permitted_but_what_a_job_needs(path: Path) -> None:
    workflow = read(path)
    assert workflow["permissions"] == {}
    assert workflow["concurrency"]["group"]
    for name, job in workflow["jobs"].items():
        assert isinstance(job["permissions"], dict), name
        # A called workflow has time limits of its own.
        assert "uses" in job or job["timeout-minutes"] <= 60, name


def test_a_job_that_may_sign_or_publish_does_nothing_else() -> None:
    may = defaultdict(set)
    for path in WORKFLOWS:
        for name, job in jobs(path).items():
            for what, how in job["permissions"].items():
                if how == "write":
                    may[what].add(f"{path.stem}: {name}")
    assert may["id-token"] == {"docs: deploy", "release: attest", "release: image", "release: pypi"}
    assert may["contents"] == {"release: github"}
    release = jobs(GITHUB / "workflows" / "release.yml")
    assert release["pypi"]["environment"]["name"] == "pypi"
    assert not any("run" in step for name in ("attest", "pypi") for step in release[name]["steps"])


def test_a_checkout_leaves_no_token_behind() -> None:
    for where, step in steps():
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False, where


def test_every_action_is_pinned_to_one_commit_that_names_its_version() -> None:
    pins = defaultdict(set)
    for path in sorted(GITHUB.rglob("*.yml")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if not (found := re.match(r"\s*(?:- )?uses: (.*)", line)) or found[1].startswith("$/"):
                continue
            pinned = re.fullmatch(
                r"([\w.-]+/[\w.-]+)(?:/[\w./-]+)?@([0-9a-f]{40} # v\d+\.\d+\.\d+)", found[1]
            )
            assert pinned, f"{path.name}: {line.strip()}"
            pins[pinned[1]].add(pinned[2])
    assert len(pins) > 5
    assert {action: commits for action, commits in pins.items() if len(commits) > 1} == {}


def test_every_command_in_workflows_exists() -> None:
    texts = [step["run"] for _, step in steps() if "run" in step]
    texts.append((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    texts.append((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {name for text in texts for name in re.findall(r"(?<![\w-])make ([a-z]+(?:-[a-z]+)*)", text)}
    assert {"setup", "check", "test", "audit", "sbom"} <= named
    assert named - targets == set()
    for text in texts:
        for file in re.findall(r"(?<![\w/.])((?:\.ci|scripts|tests|src|docs|deploy)/[\w./-]*\w)", text):
            assert (ROOT / file).exists() or file == "docs/_build", file


def test_ci_is_about_all_that_is_promised() -> None:
    ci = jobs(GITHUB / "workflows" / "ci.yml")

    def matrix(job: str) -> dict[str, Any]:
        found: dict[str, Any] = ci[job]["strategy"]["matrix"]
        return found

    promised = [
        one.rsplit(" ", 1)[1] for one in PROJECT["classifiers"] if re.search(r":: Python :: 3\.\d+$", one)
    ]
    assert matrix("tests")["python"] == matrix("mcp")["python"] == promised
    for job in ("macos", "windows", "install"):
        assert [matrix(job)["python"][0], matrix(job)["python"][-1]] == [promised[0], promised[-1]]
    assert {one.split("-")[0] for one in matrix("install")["os"]} == {"ubuntu", "macos", "windows"}
    (sdk,) = (one for one in PROJECT["dependencies"] if one.startswith("mcp"))
    bounds = re.fullmatch(r"mcp>=(\d+)\.\d+,<(\d+)", sdk)
    assert bounds
    assert matrix("mcp")["mcp"] == [str(line) for line in range(int(bounds[1]), int(bounds[2]))]
    images = {one["image"] for one in matrix("servers")["include"]}
    assert images == {"redis:7", "redis:8", "valkey/valkey:8", "valkey/valkey:9"}
    # What branch protection asks for stands for all others.
    assert {*ci["passed"]["needs"]} == {*ci} - {"passed"}


@pytest.mark.skipif(sys.platform != "linux", reason="images are of Linux")
def test_a_server_runs_with_the_libraries_that_it_was_taken_with(tmp_path: Path) -> None:
    """As out of an image, but out of this system."""
    program = needed(system_binary(), "redis-server is not on PATH: apt-get install redis-server")
    done = subprocess.run(
        [ROOT / ".ci" / "server", "none", program, tmp_path],
        capture_output=True,
        encoding="utf-8",
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"v=\d+\.\d+", done.stdout)
    assert {"server", "program", "libc.so.6"} <= {path.name for path in tmp_path.iterdir()}


# What GitHub shows to people


def test_dependabot_is_what_github_takes() -> None:
    tool("check-jsonschema", "--builtin-schema", "vendor.dependabot", GITHUB / "dependabot.yml")
    updates = read(GITHUB / "dependabot.yml")["updates"]
    kinds = {one["package-ecosystem"] for one in updates}
    assert kinds == {"uv", "github-actions", "docker", "docker-compose", "npm"}
    for one in updates:
        for directory in one.get("directories") or [one["directory"]]:
            assert (ROOT / directory.strip("/")).is_dir(), directory
    assert all(one["cooldown"]["default-days"] >= 7 for one in updates)


@pytest.mark.parametrize("path", FORMS, ids=[path.name for path in FORMS])
def test_a_form_is_one_that_github_shows(path: Path) -> None:
    """By https://docs.github.com/en/communities/using-templates-to-encourage-useful-issues-and-pull-requests."""
    form = read(path)
    assert set(form) <= {"name", "description", "title", "labels", "assignees", "projects", "type", "body"}
    assert form["name"]
    assert form["description"]
    asked = [element for element in form["body"] if element["type"] != "markdown"]
    assert asked
    for element in form["body"]:
        assert element["type"] in {"markdown", "textarea", "input", "dropdown", "checkboxes"}
        assert set(element) <= {"type", "id", "attributes", "validations"}
        assert element["attributes"]["value" if element["type"] == "markdown" else "label"]
    for unique in ([one["id"] for one in asked], [one["attributes"]["label"] for one in asked]):
        assert len(unique) == len(set(unique))
    assert any(element.get("validations", {}).get("required") for element in asked)


def test_a_report_says_what_the_doctor_says() -> None:
    body = {one.get("id"): one for one in read(GITHUB / "ISSUE_TEMPLATE" / "bug.yml")["body"]}
    assert body["doctor"]["attributes"]["label"] == "`abe-redis doctor --json`"
    assert body["doctor"]["validations"] == body["versions"]["validations"] == {"required": True}
    config = read(GITHUB / "ISSUE_TEMPLATE" / "config.yml")
    assert config["blank_issues_enabled"] is False
    assert all(set(link) == {"name", "url", "about"} for link in config["contact_links"])


def test_weaknesses_are_reported_in_private_everywhere() -> None:
    private = "https://github.com/Chisanan232/abe-redis/security/advisories/new"
    for name in ("SECURITY.md", "CONTRIBUTING.md", "CODE_OF_CONDUCT.md", ".github/ISSUE_TEMPLATE/config.yml"):
        text = (ROOT / name).read_text(encoding="utf-8")
        assert private in text, name
        assert not re.search(r"[\w.]+@[\w-]+\.\w", text), f"{name} has an address"


def test_hooks_run_what_the_environment_has() -> None:
    """Nothing is fetched, so its versions are those of uv.lock."""
    (repository,) = read(ROOT / ".pre-commit-config.yaml")["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert hook["language"] == "system", hook["id"]
        if (program := hook["entry"].split()[0]).startswith(".venv/bin/"):
            assert Path(sys.executable).with_name(Path(program).name).exists(), program


# The changelog and releases


def test_the_changelog_is_one_that_people_keep() -> None:
    """By https://keepachangelog.com/en/1.1.0/."""
    headings = re.findall(r"^## (.*)$", CHANGELOG, re.MULTILINE)
    assert "[Unreleased]" not in headings[1:]
    released = [one for one in headings if one != "[Unreleased]"]
    assert all(re.fullmatch(r"\[\d+(\.\d+)+\S*\] - \d{4}-\d{2}-\d{2}", one) for one in released)
    days = [one.split(" - ")[1] for one in released]
    assert days == sorted(days, reverse=True)
    for version in re.split(r"^## .*$", CHANGELOG, flags=re.MULTILINE)[1:]:
        intro, *parts = re.split(r"^### (.*)$", version, flags=re.MULTILINE)
        assert not intro.strip()
        kinds = parts[0::2]
        assert kinds == [kind for kind in CHANGES if kind in kinds]
        for kind, lines in zip(kinds, parts[1::2], strict=True):
            assert lines.strip().startswith("- "), f"{kind} is empty"
            assert all(line.startswith(("- ", "  ")) for line in lines.strip().splitlines()), kind


def test_a_release_has_its_section_of_the_changelog(release: ModuleType) -> None:
    said = release.section(CHANGELOG, "Unreleased")
    assert said.startswith("### Added\n")
    assert said.endswith(".\n")
    more = "\n## [1.0.0] - 2026-01-31\n\n### Fixed\n\n- It.\n\n[1.0.0]: https://example.test\n"
    assert release.section(CHANGELOG + more, "Unreleased") == said
    assert release.section(CHANGELOG + more, "1.0.0") == "### Fixed\n\n- It.\n"
    with pytest.raises(release.NotReadyError, match=r"no section \[9\.9\.9\], only Unreleased"):
        release.section(CHANGELOG, "9.9.9")
    with pytest.raises(release.NotReadyError, match=r"says nothing of 2\.0\.0"):
        release.section(CHANGELOG + "\n## [2.0.0] - 2026-02-01\n\n", "2.0.0")


def test_a_tag_names_the_version_of_this_tree(
    release: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release.version() == PROJECT["version"]
    assert release.main(["v0.0.1"]) == 1
    assert (
        f"The tag is v0.0.1, but pyproject.toml has version {PROJECT['version']}:" in capsys.readouterr().err
    )
    for name, text in (
        ("pyproject.toml", '[project]\nversion = "1.0.0rc1"\n'),
        ("server.json", '{"version": "1.0.0rc1", "packages": [{"version": "1.0.0rc1"}]}'),
        ("CHANGELOG.md", "# Changelog\n\n## [1.0.0rc1] - 2026-01-31\n\n### Added\n\n- All.\n"),
    ):
        (tmp_path / name).write_text(text, encoding="utf-8")
    monkeypatch.setattr(release, "ROOT", tmp_path)
    assert release.main(["v1.0.0rc1", "--outputs", str(tmp_path / "outputs")]) == 0
    assert capsys.readouterr() == ("### Added\n\n- All.\n", "")
    assert (tmp_path / "outputs").read_text(encoding="utf-8") == "version=1.0.0rc1\nfinal=false\n"
    (tmp_path / "server.json").write_text('{"version": "1.0.0", "packages": []}', encoding="utf-8")
    with pytest.raises(release.NotReadyError, match=r"server\.json 1\.0\.0"):
        release.version(tmp_path)


@pytest.mark.parametrize(
    ("version", "final"), [("1.0.0", True), ("1.0.0.post1", True), ("1.0.0rc1", False), ("1.0.0.dev0", False)]
)
def test_a_pre_release_is_none_for_everybody(release: ModuleType, version: str, final: bool) -> None:
    assert release.is_final(version) is final
