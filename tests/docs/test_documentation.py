"""The documentation is current, complete, self-contained: no stale page, no dead link, no host."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

import pytest

from alerting.runbook import KILLED_SECTION, OTHER_SECTION, link, sections
from docs.generate import DOCS, PAGES, declared, explained
from pipeline.settings import PROJECT
from pipeline.sources import SOURCES
from tests.builders.chromium import DESKTOP, PHONE, launched, opened

if TYPE_CHECKING:
    from playwright.sync_api import Browser

MENDING = "It is not current: run `make docs` and commit what it writes."


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_written_page_is_current(name: str) -> None:
    assert (DOCS / name).read_text() == PAGES[name](), f"docs/{name}: {MENDING}"


def test_every_setting_is_on_the_page() -> None:
    page = (DOCS / "settings.md").read_text()
    assert len(declared()) > 40
    assert [name for name in declared() if f"| `{name}` |" not in page] == []
    assert len(
        {one.name for one in explained((PROJECT / ".env.example").read_text())}
    ) == page.count("\n| `")


def test_every_mart_and_raw_table_is_in_the_dictionary() -> None:
    page = (DOCS / "data-dictionary.md").read_text()
    for file in (PROJECT / "dbt_ecommerce" / "models").rglob("*.sql"):
        assert f"\n### {file.stem}\n" in page
    for source in SOURCES:
        for table in source.tables:
            section = page.split(f"\n### {table.raw_name.lower()}\n")[1].split("\n### ")[0]
            assert [name for name in table.column_names if f"| `{name}` |" not in section] == []


# the site
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(folder),
    ]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


class Asked(HTMLParser):
    """What a page makes a browser ask for, and where its sections are."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.ids.add(found.get("id") or "")
        if tag == "link" and found.get("rel") in ("canonical", "next", "prev"):
            return  # names a page, fetches nothing
        if tag != "a":
            self.addresses += [
                found[name] or ""
                for name in ("src", "href", "srcset", "poster", "data")
                if name in found
            ]


def test_no_page_of_the_site_asks_another_host_for_anything(site: Path) -> None:
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        asked = Asked(page.read_text())
        assert asked.addresses, page
        assert [address for address in asked.addresses if urlsplit(address).netloc] == [], page.name
    for style in site.rglob("*.css"):
        assert (
            re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)\"']+", style.read_text()) == []
        ), style.name


def test_every_alert_links_to_a_section_of_the_runbook(site: Path) -> None:
    ids = Asked((site / "runbook.html").read_text()).ids
    named = {
        name
        for file in (PROJECT / "alerting").glob("*.py")
        for name in re.findall(r'link\("(\w+)"', file.read_text())
    }
    assert {"SlaBreach", "SourceDiffers"} <= named
    # The others are headings for people only.
    classes = {section for section in sections() if section.isidentifier()}
    assert named | {KILLED_SECTION, OTHER_SECTION} <= classes
    for section in classes:
        assert urlsplit(link(section, "https://docs.example/runbook.html")).fragment in ids, section


def test_every_page_is_found_from_the_first_one_and_from_the_readme(site: Path) -> None:
    first = (site / "index.html").read_text()
    for page in DOCS.glob("*.md"):
        assert f'href="{page.stem}.html"' in first or page.stem == "index", (
            f"docs/{page.name} is not in the nav of mkdocs.yml"
        )
    readme = (PROJECT / "README.md").read_text()
    for target in re.findall(r"\]\(((?!https?:)[^)#]+)", readme):
        assert (PROJECT / target).exists(), f"README.md links to {target}"
    assert "docs/index.md" in readme


def test_the_site_finds_what_is_searched_for(site: Path) -> None:
    assert (
        '"location":"runbook.html#slabreach"' in (site / "search" / "search_index.json").read_text()
    )


# in a browser
# --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with launched() as chromium:
        yield chromium


@pytest.mark.browser
@pytest.mark.parametrize(
    ("scheme", "size"), [("light", DESKTOP), ("dark", DESKTOP), ("dark", PHONE)]
)
@pytest.mark.parametrize("page", ["index", "runbook", "settings", "adding-a-source", "benchmarks"])
def test_the_site_is_readable_and_asks_no_other_host(
    browser: Browser,
    served: str,
    page: str,
    scheme: Literal["light", "dark"],
    size: tuple[int, int],
) -> None:
    with opened(browser, f"{served}/{page}.html", scheme, size) as seen:
        seen.page.get_by_role("heading", level=1).first.wait_for()
        seen.page.wait_for_load_state("networkidle")
        assert (
            seen.page.evaluate("document.body.dataset.mdColorScheme")
            == {"light": "default", "dark": "slate"}[scheme]
        )
        assert seen.sideways() <= 0
        assert seen.serious_faults() == []
        assert (seen.foreign, seen.errors) == ([], [])


@pytest.fixture(scope="module")
def served(site: Path) -> Iterator[str]:
    handler = partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None: ...
