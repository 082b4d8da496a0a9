"""What a report says, whoever shows it: sections of sentences, tables and figures."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import pandas as pd

Kind = Literal["dots", "lines", "curves", "heat", "points", "clouds", "bars", "parallel"]
MISSING = "-"


@dataclass(frozen=True)
class Column:
    """One column of a table: a text per row, and the rows that hold its best value."""

    title: str
    cells: tuple[str, ...]
    is_number: bool = True
    best: frozenset[int] = frozenset()
    is_code: bool = False
    """Shown as typed, such as a command."""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows."""

    caption: str
    columns: tuple[Column, ...]
    num_merged: int | None = None
    """The first rows are merged models, the rest what they are measured against."""
    is_folded: bool = False
    """Whether a reader has to open it."""

    @property
    def rows(self) -> list[tuple[str, ...]]:
        """The cells, row by row."""
        return list(zip(*(column.cells for column in self.columns), strict=True))


@dataclass(frozen=True, eq=False)
class Figure:
    """What to draw, not how: the numbers are in ``frame``, in columns that the kind knows.

    ``dots``: label, series, value, spread. ``lines``: label (a step of the x axis), series, value.
    ``curves``: series, part (a line of its own), x, value, as they are. ``heat``: label (a row),
    place (a column), name, value; block (what columns belong to) and frame (a step of a slider) may
    be there. ``points``: series, label, x, value, front. ``clouds``: series, label (a panel), x,
    value. ``bars``: series, label, value. ``parallel``: label (a line), axis, position in
    ``[0, 1]``, text, value.
    """

    slug: str
    """Name in links and files."""
    title: str
    kind: Kind
    frame: "pd.DataFrame"
    x: str
    """Title of the horizontal axis, with its unit."""
    y: str
    says: str
    """What is seen, for those who do not see it."""
    series: tuple[str, ...] = ()
    """All merged methods of the report, so that each has one colour in all figures."""
    table: Table | None = None
    """The numbers drawn, unless a table beside the figure has them."""
    shade: str = ""
    """What the shades of ``heat`` are, with the unit."""
    cell: str = ""
    """What a cell of ``heat`` is named by."""

    @property
    def frames(self) -> list[int]:
        """The steps of the slider, in order; none without one."""
        return sorted(set(self.frame["frame"])) if "frame" in self.frame else []


@dataclass(frozen=True)
class Section:
    """A heading, sentences, then tables and figures."""

    slug: str
    title: str
    sentences: tuple[str, ...]
    parts: tuple[Table | Figure, ...]
    notes: tuple[str, ...] = ()
    """Sentences below: what words in the tables mean."""


@dataclass(frozen=True)
class Omitted:
    """A section for which there are no data."""

    title: str
    reason: str


@dataclass(frozen=True)
class Report:
    """One study, most important first."""

    study: str
    headline: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]
    cautions: tuple[str, ...]
    series: tuple[str, ...]
    """The merged methods that can be picked out."""
    sections: tuple[Section, ...]
    omitted: tuple[Omitted, ...]

    @property
    def figures(self) -> tuple[Figure, ...]:
        """All figures, in order."""
        return tuple(p for s in self.sections for p in s.parts if isinstance(p, Figure))


def slug_of(name: str) -> str:
    """Give a name as a part of file names and links."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-").lower()


def number(value: float, form: str = "{:.3g}") -> str:
    """Give a number as text, a dash for what is not finite."""
    return form.format(value) if math.isfinite(value) else MISSING


def percent(value: float) -> str:
    """Give a share in percent, without the sign."""
    return number(round(100 * value, 1) + 0.0, "{:.1f}")  # no minus before a zero


def duration(seconds: float) -> str:
    """Give seconds in the unit that reads best."""
    if not math.isfinite(seconds):
        return MISSING
    if seconds < 120:
        return f"{seconds:,.0f} s"
    return f"{seconds / 60:,.0f} min" if seconds < 7200 else f"{seconds / 3600:,.1f} h"


def words(title: str, cells: Iterable[object]) -> Column:
    """Give a column of text."""
    return Column(title, tuple(map(str, cells)), is_number=False)


def shares(
    title: str, values: Sequence[float], *, num_merged: int = 0, lowest: bool = False
) -> Column:
    """Give a column in percent; the best of the first ``num_merged`` rows is marked."""
    cells = tuple(percent(value) for value in values)
    shown = [float(cell) for cell in cells[:num_merged] if cell != MISSING]
    top = f"{(min if lowest else max)(shown):.1f}" if shown else None
    return Column(title, cells, best=frozenset(i for i in range(num_merged) if cells[i] == top))
