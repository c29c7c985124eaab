"""A real browser without a window: the system's Chromium."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.needs import needed
from tests.patience import PATIENCE

type Theme = Literal["light", "dark"]


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; without one, CI fails and others are told what they miss."""
    found = shutil.which("chromium") or shutil.which("google-chrome")
    program = needed(found, "there is no Chromium: apt-get install chromium")
    expect.set_options(timeout=1000 * PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()


class Visit:
    """A page in a window of its own, and what it did beside what is seen."""

    def __init__(self, browser: Browser, *, width: int = 1200, theme: Theme = "light") -> None:
        self.page: Page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
        self.page.set_default_timeout(1000 * PATIENCE)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))

    def close(self) -> None:
        """Close the window."""
        self.page.close()

    def overflow(self) -> int:
        """Pixels by which it is wider than its window."""
        wider: int = self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        return wider

    def brightness(self) -> int:
        """Of its ground, from 0, black, to 255, white."""
        shade: int = self.page.evaluate(
            "Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"
        )
        return shade
