"""Pages of the site that stand elsewhere in the repository, and links that lead to them."""

import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

PAGES = {
    "README.md": "index.md",
    "cluster/README.md": "launch-files.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
_LINK = re.compile(r"(?<=\]\()(?P<path>[^)#:\s]+)(?P<anchor>#[^)\s]*)?(?=\))")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages, with their links as the repository has them."""
    root = Path(config.config_file_path).parent
    for place, page in PAGES.items():
        files.append(File.generated(config, page, abs_src_path=str(root / place)))
    return files


def on_page_markdown(markdown: str, page: Page, files: Files, **_: object) -> str:
    """Turn links between files of the repository into links between pages."""
    places = {name: place for place, name in PAGES.items()}
    place = places.get(page.file.src_uri, f"docs/{page.file.src_uri}")

    def link(found: re.Match[str]) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(place), found["path"]))
        name = PAGES.get(target, target.removeprefix("docs/"))
        if files.get_file_from_path(name) is None:
            return found[0]
        relative = posixpath.relpath(name, posixpath.dirname(page.file.src_uri))
        return relative + (found["anchor"] or "")

    return _LINK.sub(link, markdown)
