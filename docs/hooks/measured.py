"""The figures of one method, taken out of the README's tables, in the places that pages keep.

`<!-- measured: NAME -->` becomes the rows of every pipeline with that method, beside the individual
and the pretrained models. So no figure is written twice.
"""

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError

_MARK = re.compile(r"^<!-- measured: (\w+) -->$", re.MULTILINE)
_STUDY = re.compile(r"Leaderboard of (\w+)|jobs/(\w+)\.yaml")
REFERENCES = ("individual", "pretrained")


class Table(NamedTuple):
    """A leaderboard as it is printed, and the study that it is of."""

    study: str
    head: str
    rows: tuple[str, ...]


def on_page_markdown(markdown: str, config: MkDocsConfig, **_: object) -> str:
    """Put the figures into their places."""
    readme = (Path(config.config_file_path).parent / "README.md").read_text()
    return _MARK.sub(lambda found: measured(readme, found[1]), markdown)


def measured(readme: str, method: str) -> str:
    """Give the rows of a method, one block per study.

    Raises:
        PluginError: no table has the method.
    """
    blocks = []
    for table in tables(readme):
        own = [row for row in table.rows if method in row.split()[0].split("+")]
        if own:
            others = [row for row in table.rows if row.split()[0] in REFERENCES]
            rows = "\n".join([table.head, *own, *others])
            blocks.append(f"`jobs/{table.study}.yaml`:\n\n```text\n{rows}\n```\n")
    if not blocks:
        raise PluginError(f"README.md has no leaderboard with {method}; see docs/hooks/measured.py")
    return "\n".join(reversed(blocks))


def tables(readme: str) -> Iterator[Table]:
    """Yield the leaderboards of a page in order: those with a column of scores."""
    lines = readme.splitlines()
    for i, line in enumerate(lines):
        if line.split()[:2] == ["method", "score"]:
            study = [a or b for a, b in _STUDY.findall("\n".join(lines[:i]))][-1]
            rows = itertools.takewhile(
                lambda row: row and not row.startswith("```"), lines[i + 1 :]
            )
            yield Table(study, line, tuple(row for row in rows if not row.startswith("─")))
