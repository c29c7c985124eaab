"""The site as it is built: no warning, no dead link, nothing missing."""

import fcntl
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import override
from urllib.parse import unquote, urlsplit

import pytest

from abe_redis import Settings
from abe_redis import __all__ as public_names
from tests.hosts.browser import Visit, chromium

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The built site; a warning is an error. Those who test in parallel share it."""
    directory: Path = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        directory = directory.parent
    out = directory / "site"
    with (directory / "site.lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not out.exists():
            _build(directory / "half-built", out)
    return out


def _build(unfinished: Path, out: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(unfinished)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    unfinished.rename(out)


class Page(HTMLParser):
    """The links of a page, and the places in it that can be linked to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.outside: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value for name, value in attrs if value}
        self.places |= {found[name] for name in ("id", "name") if name in found}
        link = found.get("href" if tag in {"a", "link"} else "src")
        if link is not None:
            (self.links if not urlsplit(link).netloc else self.outside).append(link)
            if tag in {"script", "img", "iframe"} or (tag == "link" and found.get("rel") == "stylesheet"):
                assert not urlsplit(link).netloc, f"the page asks somebody else for {link}"


def pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for path in sorted(site.rglob("*.html")):
        yield path, Page(path)


def test_no_link_is_dead(site: Path) -> None:
    all_pages = dict(pages(site))
    assert len(all_pages) > 20
    dead = []
    for path, page in all_pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.exists() or (
                parts.fragment
                and target.suffix == ".html"
                and unquote(parts.fragment) not in all_pages[target].places
            ):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []


def test_nothing_is_missing_in_the_reference(site: Path) -> None:
    def text(name: str) -> str:
        return (site / "reference" / f"{name}.html").read_text(encoding="utf-8")

    settings, commands, tools, python = map(text, ("settings", "commands", "tools", "python"))
    for name in Settings.model_fields:
        assert name.upper() in settings
    shown = re.sub(r"<[^>]+>", "", commands)
    for command in ("publish", "ack", "stats", "dead redrive", "group reset", "worker", "top", "mcp install"):
        assert f"abe-redis {command}" in shown
    for tool in (
        "stream_stats",
        "read_stream",
        "count_events",
        "lease_events",
        "ack",
        "release",
        "redrive",
        "publish_event",
    ):
        assert f'id="{tool.replace("_", "-")}"' in tools
    for name in public_names:
        assert f'<span class="pre">{name}</span>' in python, name


def test_diagrams_are_drawn(site: Path) -> None:
    page = (site / "delivery.html").read_text(encoding="utf-8")
    source = (ROOT / "docs/delivery.md").read_text(encoding="utf-8")
    assert page.count('<div class="sequence"><svg') == source.count("```mermaid") > 4
    assert "Worker A" in page


@pytest.mark.parametrize("width", [400, 1200])
def test_settings_and_diagrams_fit_a_telephone_and_a_laptop(site: Path, width: int) -> None:
    """No page is wider than its window; no table of settings and no diagram has to be scrolled sideways."""
    outside = """() => [...document.querySelectorAll("article table, article svg, article img")]
        .filter((one) => one.scrollWidth > one.parentElement.clientWidth
            || one.getBoundingClientRect().right > window.innerWidth)
        .map((one) => one.outerHTML.slice(0, 200))"""
    with chromium() as browser:
        visit = Visit(browser, width=width)
        for name in ("configuration", "reference/settings", "reference/commands", "delivery", "index"):
            visit.page.goto((site / f"{name}.html").as_uri())
            assert visit.overflow() <= 0, name
            assert visit.page.evaluate(outside) == [], name


@pytest.mark.parametrize("name", ["API reference", "Contributing"])
def test_every_page_leads_to_what_people_look_for(site: Path, name: str) -> None:
    for page in ("index.html", "delivery.html", "reference/tools.html"):
        assert re.search(rf'<a class="[^"]*internal"[^>]*>{name}</a>', (site / page).read_text("utf-8")), page


@pytest.mark.parametrize("name", ["Quick start", "Requirements", "Installation"])
def test_the_first_page_has_what_people_look_for(site: Path, name: str) -> None:
    assert f">{name}<" in (site / "index.html").read_text(encoding="utf-8")
