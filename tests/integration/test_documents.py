"""The documents say what is so: their snippets run, their tables are those of the code."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from abe_redis import Backoff, Settings
from tests.command_line import run_command
from tests.patience import PATIENCE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def snippets(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("number", "prints"),
    [
        (0, r"slack_events \d+-\d+ hello\n"),
        (1, r"app_mention hello\n"),
        (2, r"handled hello\n"),
        (3, r"handled again\n"),
        (4, r"0 of 2 were not added\n"),
        (5, r"slack_events \d+-\d+ False\n"),
    ],
)
def test_a_python_snippet_of_the_library_page_runs(redis_url: str, number: int, prints: str) -> None:
    code = snippets("docs/library.md", "python")[number]
    assert len(snippets("docs/library.md", "python")) == 6
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | {"REDIS_URL": redis_url},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert re.fullmatch(prints, result.stdout)


@pytest.mark.parametrize(("page", "least"), [("command-line", 16), ("troubleshooting", 1)])
def test_the_commands_of_a_page_run(redis_url: str, page: str, least: int) -> None:
    # What moves events between two servers runs in tests/documents/test_moving_events.py.
    blocks = [block for block in snippets(f"docs/{page}.md", "sh") if "export REDIS_URL" not in block]
    commands = [line for block in blocks for line in block.splitlines() if line.startswith("abe-redis")]
    assert len(commands) >= least
    for command in commands:
        result = run_command(
            *shlex.split(command)[1:],
            # What the commands leased stays so until the doctor looks, however slow the machine is.
            env=os.environ | {"REDIS_URL": redis_url, "REDIS_STREAM_LEASE_SECONDS": "600"},
        )
        assert result.returncode == 0, (command, result.stdout, result.stderr)
        assert result.stdout


def test_the_quick_start_is_two_commands() -> None:
    (block,) = re.findall(r"^## Quick start\n.*?^```sh\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    assert [shlex.split(line, comments=True) for line in block.splitlines()] == [
        ["make", "demo"],
        ["make", "test"],
    ]


def test_the_makefile_has_what_is_named() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z]+)", README):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_the_time_until_burial_is_that_of_the_policy() -> None:
    page = (ROOT / "docs/production.md").read_text(encoding="utf-8")
    rows = re.findall(r"^  \| (\d+)[^|]*\| ([\d.]+) to ([\d.]+) \|$", page, re.MULTILINE)
    assert len(rows) == 5
    policy = Backoff()
    for deliveries, least, most in rows:
        longest = sum(
            min(policy.first * 2**failed, policy.most) for failed in range(int(deliveries) - 1)
        )  # each delay is at least half as long
        digits = 0 if longest > 60 else 1
        assert f"{longest / 120:.{digits}f} to {longest / 60:.{digits}f}" == f"{least} to {most}"


PAGES = sorted(path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")))


@pytest.mark.parametrize("page", PAGES)
def test_blocks_and_tables_of_a_page_are_whole(page: str) -> None:
    """Markdown makes a paragraph of what is broken, and nothing complains."""
    inside, columns = False, 0
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        if re.match(r" *```", line):
            assert re.fullmatch(r" *```" if inside else r" *```[\w{}-]+( .*)?|```", line), (
                page,
                number,
                line,
            )
            inside = not inside
        elif not inside:
            assert "```" not in line, (page, number, line)
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert cells in (columns, 0) or not columns, (page, number, line)
            if cells and not columns:  # the head of a table
                assert re.fullmatch(r"\|[ :|-]+\|", lines[number]), (page, number, line)
            columns = cells
    assert not inside, f"{page}: the last block does not end"


def test_the_registration_is_mcp_json() -> None:
    (shown,) = snippets("docs/agents.md", "json")
    assert json.loads(shown) == json.loads((ROOT / "mcp.json").read_text(encoding="utf-8"))


def test_every_setting_is_in_the_table_with_its_default() -> None:
    page = (ROOT / "docs/configuration.md").read_text(encoding="utf-8")
    section = page.partition("## Settings")[2].partition("\n## ")[0]
    rows: dict[str, str] = {}
    for line in section.splitlines():
        if match := re.match(r"\| (`[A-Z].*?`) \| (.*?) \|", line):
            rows |= dict.fromkeys(re.findall(r"`([A-Z_]+)`", match[1]), match[2].strip("`"))
    assert set(rows) == {name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        default = field.default
        if isinstance(default, tuple):
            shown = ",".join(default) or "–"
        elif isinstance(default, bool):
            shown = str(default).lower()
        elif default is None:
            shown = "host-pid-random" if name == "redis_stream_consumer" else "–"
        else:
            shown = str(default)
        assert rows[name.upper()] == shown


@pytest.mark.parametrize("document", ["README.md", "docs/architecture.md", "CHANGELOG.md"])
def test_every_file_that_is_named_exists(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for name in re.findall(r"`((?:docs|examples|src|tests)/[\w./-]*)`", text):
        assert (ROOT / name).exists(), name


def test_the_architecture_is_that_of_the_tree() -> None:
    tree = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").split("```")[1]
    for path in sorted((ROOT / "src/abe_redis").iterdir()):
        if path.suffix == ".py" and not path.name.startswith("__"):
            assert path.name in tree, path
        elif (path / "__init__.py").exists():
            assert f"    {path.name}/" in tree, path
