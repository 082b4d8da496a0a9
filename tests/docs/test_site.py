"""The site as `make docs` builds it: whole, and without anything that a browser would fetch."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.report.browser import asked, needs_chromium

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# What a browser loads by itself; links that a reader follows may lead anywhere.
LOADED = re.compile(r"""<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=["']?(https?:)?//""")
_SEARCH = """
document.querySelector("[data-md-toggle=search]").click();
const query = document.querySelector("[data-md-component=search-query]");
query.focus();
query.value = "density";
query.dispatchEvent(new Event("keyup", { bubbles: true }));
query.dispatchEvent(new Event("input", { bubbles: true }));
const items = () => [...document.querySelectorAll(".md-search-result__item")];
for (let i = 0; i < 200 && !items().length; i += 1) {
  await new Promise((done) => setTimeout(done, 50));
}
return items().map((item) => item.textContent);
"""
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-d", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stderr
    return folder


def pages(site: Path) -> dict[str, str]:
    return {str(p.relative_to(site)): p.read_text() for p in site.rglob("*.html")}


def test_every_page_is_built_and_in_the_navigation(site: Path) -> None:
    start = (site / "index.html").read_text()
    names = {str(p.relative_to(DOCS).with_suffix(".html")) for p in DOCS.rglob("*.md")}
    assert names <= pages(site).keys()
    assert [name for name in names if f'href="{name}"' not in start] == []


def test_a_browser_loads_nothing_from_elsewhere(site: Path) -> None:
    assert [name for name, html in pages(site).items() if LOADED.search(html)] == []
    styles = "".join(path.read_text() for path in site.rglob("*.css"))
    assert re.findall(r"url\(['\"]?(?:https?:)?//|@import\s", styles) == []


def test_marks_and_formulas_are_replaced_on_every_page(site: Path) -> None:
    left = re.compile(
        r"<!-- (?:methods|settings|study|measured|commands)|class=\"arithmatex\"|::: distmerge"
    )
    assert [name for name, html in pages(site).items() if left.search(html)] == []


def test_pages_of_the_repository_link_to_each_other(site: Path) -> None:
    assert 'href="faults.html"' in (site / "index.html").read_text()
    assert 'href="launch-files.html"' in (site / "cluster.html").read_text()


def test_the_search_knows_settings_and_needs_no_server(site: Path) -> None:
    index = json.loads(
        (site / "search" / "search_index.js").read_text().removeprefix("var __index = ")
    )
    found = {d["location"].partition("#")[0] for d in index["docs"] if "adapt images" in d["text"]}
    assert {"reference/study.html", "methods/surgery.html"} <= found
    assert 'src="assets/iframe-worker.js"' in (site / "index.html").read_text()


@needs_chromium
def test_the_search_answers_in_a_page_that_was_opened_as_a_file(site: Path, tmp_path: Path) -> None:
    shutil.copytree(site, tmp_path, dirs_exist_ok=True)
    start = (site / "index.html").read_text().replace("<html ", '<html data-drawn="yes" ')
    found, console = asked(start, _SEARCH, tmp_path)
    assert console == []
    assert any("density" in text for text in found)
