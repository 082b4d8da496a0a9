"""Write the table and the pictures of docs/performance.md from what was measured last."""

import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.clock import ROOT
from benchmarks.rows import RESULTS, Machine, Row, latest
from benchmarks.table import markdown

PAGE = ROOT / "docs" / "performance.md"
PICTURES = ROOT / "docs" / "performance"
TABLE, GROWTH = "table", "pictures"


def marker(part: str) -> tuple[str, str]:
    """Give the lines of a page between which a part of it is written."""
    return f"<!-- {part}: python -m benchmarks.page -->", f"<!-- end of {part} -->"


def write_page(page: Path = PAGE, results: Path = RESULTS, pictures: Path = PICTURES) -> None:
    """Put the newest row of every benchmark, and the pictures there are, between their markers.

    Raises:
        OSError: a file cannot be read or written.
        ValueError: the page lacks a marker.
    """
    text = page.read_text(encoding="utf-8")
    text = _replaced(text, TABLE, _found(latest(results)))
    files = sorted(pictures.glob("*.png"))
    links = [f"![Cost by {file.stem}]({pictures.name}/{file.name})" for file in files]
    page.write_text(_replaced(text, GROWTH, "\n".join(links)), encoding="utf-8")


def _replaced(text: str, part: str, content: str) -> str:
    start, end = marker(part)
    before, found, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"got no lines {start} and {end}, expected what is written between them")
    return f"{before}{start}\n\n{content}\n\n{end}{after}"


def _found(measured: Sequence[tuple[Row, Machine]]) -> str:
    rows = [row for row, _ in measured]
    notes = [f"- {row.name}: {row.note}." for row in rows if row.note]
    machines = sorted({_said(machine) for _, machine in measured})
    return "\n".join([markdown(rows), "", *notes, "", "Measured on:", "", *machines])


def _said(machine: Machine) -> str:
    return (
        f"- {machine.cpu}, {machine.cores} cores ({machine.instruction_set}), "
        f"{machine.memory_bytes / 1e9:.0f} GB, torch {machine.torch_version}, "
        f"{machine.threads} threads, commit {machine.git_commit}, {machine.started_at:%Y-%m-%d}"
    )


if __name__ == "__main__":
    write_page()
    sys.exit(0)
