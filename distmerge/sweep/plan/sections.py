"""Headings and aligned rows, for people."""

import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

Row = Sequence[object]


class Section(NamedTuple):
    """A heading and aligned rows."""

    title: str
    rows: Sequence[Row]


def section_lines(section: Section) -> Iterator[str]:
    """Yield a heading and its rows, columns aligned; numbers to the right."""
    yield ""
    yield section.title
    cells = [[str(cell) for cell in row] for row in section.rows]
    widths = [max(map(len, column)) for column in zip_longest(*cells, fillvalue="")]
    numeric = [_numeric(column[1:]) for column in zip_longest(*cells, fillvalue="")]
    for row in cells:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=False)
        )
        yield f"  {'  '.join(padded)}".rstrip()


def _numeric(cells: Sequence[str]) -> bool:
    return bool(cells) and all(re.fullmatch(r"[\d.,?~]+", cell) for cell in cells)
