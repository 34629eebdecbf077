"""A headless Chromium, the system's own, watched for requests to other hosts and for faults."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome")
PHONE = (390, 844)
DESKTOP = (1280, 900)
OWN = {"127.0.0.1", ""}  # "" is the host of data: and blob: addresses


def executable() -> str:
    """Where Chromium is; a test that needs it fails with a sentence where there is none."""
    found = next((path for name in NAMES if (path := shutil.which(name))), None)
    if found is None:
        pytest.fail(
            "Browser tests need Chromium. On Debian and Ubuntu: apt-get install chromium",
            pytrace=False,
        )
    return found


@contextmanager
def launched() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable())
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Seen:
    """A page with the addresses of other hosts it asked for, and the errors of its console."""

    page: Page
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)

    def serious_faults(self) -> list[str]:
        """What axe-core calls serious or critical: the rule, how often, and the first element."""
        from axe_playwright_python.sync_playwright import Axe

        violations = Axe().run(self.page).response["violations"]
        return [
            f"{fault['id']} ({len(fault['nodes'])}): {fault['help']}: "
            f"{fault['nodes'][0]['html'][:300]}"
            for fault in violations
            if fault["impact"] in ("serious", "critical")
        ]

    def sideways(self) -> int:
        """By how many pixels the page is wider than the window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


@contextmanager
def opened(
    browser: Browser,
    url: str,
    scheme: Literal["light", "dark"] = "light",
    size: tuple[int, int] = DESKTOP,
) -> Iterator[Seen]:
    """A page in a fresh profile with the reader's preference and window."""
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": size[0], "height": size[1]}, accept_downloads=True
    )
    try:
        seen = Seen(context.new_page())
        seen.page.on("request", lambda request: _note(seen.foreign, request.url))
        seen.page.on(
            "console",
            lambda message: seen.errors.append(message.text) if message.type == "error" else None,
        )
        seen.page.on("pageerror", lambda error: seen.errors.append(str(error)))
        seen.page.goto(url)
        yield seen
    finally:
        context.close()


def _note(foreign: list[str], url: str) -> None:
    if urlsplit(url).hostname not in OWN | {None}:
        foreign.append(url)


def for_the_documentation(page: Page, name: str) -> None:
    """Keep a picture as docs/images/NAME.png if ``SCREENSHOTS`` is set (``make screenshots``)."""
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"{name}.png")
