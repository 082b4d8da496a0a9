"""A leaderboard for the terminal, and for other programs."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from distmerge.results import INPUTS, SUITE_PREFIX, suite_columns, task_columns

if TYPE_CHECKING:
    import pandas as pd

SELECTED_BY: Mapping[str, str] = {
    "agreement": "agreement with individual models, without labels",
    "entropy": "minus prediction entropy, without labels",
    "accuracy": "accuracy, with labels",
}
MISSING = "-"
SUSPECT = "*"
METHOD_WIDTH = 24
TASK_WIDTH = 9
UNLIMITED = 10_000


@dataclass(frozen=True)
class Column:
    """One column of the terminal table: text per row, and the rows that hold its best value."""

    title: str
    cells: tuple[str, ...]
    best: frozenset[int] = frozenset()
    style: str = ""


@dataclass(frozen=True)
class LeaderboardView:
    """A leaderboard that rich prints: one table if it fits, else the tasks below in parts."""

    title: str
    caption: Text
    methods: tuple[str, ...]
    num_merged: int
    """The first rows are methods, the rest are references."""
    summary: tuple[Column, ...]
    tasks: tuple[Column, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table | Text]:
        """Yield the tables, no wider than the console."""
        score, mean, *rest = self.summary
        whole = [[score, mean, *self.tasks, *rest]]
        room = options.max_width - min(METHOD_WIDTH, max(map(len, self.methods)))
        parts = [*_lines(self.summary, room), *_parts(self.tasks, room)]
        layouts = [
            [self._table(columns, gap=gap) for columns in shown]
            for shown in (whole, parts)
            for gap in (2, 1)
        ]
        wide = options.update(width=UNLIMITED)
        fitting = (
            tables
            for tables in layouts
            if max(Measurement.get(console, wide, table).maximum for table in tables)
            <= options.max_width
        )
        yield Text(self.title, style="bold")
        for table in next(fitting, layouts[-1]):
            yield Text()
            yield table
        yield Text()
        yield self.caption

    def _table(self, shown: Sequence[Column], *, gap: int) -> Table:
        # The box itself puts one space between columns.
        table = Table(
            box=box.HORIZONTALS, show_edge=False, pad_edge=False, padding=(0, gap - 1, 0, 0)
        )
        table.add_column("method", max_width=METHOD_WIDTH, overflow="fold")
        for column in shown:
            header = Text(column.title, justify="right", overflow="fold")
            table.add_column(header, justify="right", width=_width(column), overflow="fold")
        for row, method in enumerate(self.methods):
            merged = row < self.num_merged
            table.add_row(
                Text(method),
                *(_cell(column, row) for column in shown),
                style="" if merged else "italic",
                end_section=row == self.num_merged - 1,
            )
        return table


def render_leaderboard(table: "pd.DataFrame", *, study: str) -> LeaderboardView:
    """Give a leaderboard for rich to print; plain text where the console is no terminal.

    Args:
        table: from ``leaderboard``.
        study: its name, for the title.
    """
    protocols = ", ".join(table["protocol"].dropna().unique()) or "unknown"
    merged = [not reference for reference in table["reference"]]
    num_merged = sum(merged)
    failed = Column(
        "failed", tuple(str(count or MISSING) for count in table["failed"]), style="red"
    )
    seeds = Column("seeds", tuple(str(count or MISSING) for count in table["seeds"]))
    lost = _percent("lost", table["lost"], num_merged, best=min)
    suites = suite_columns(table)
    tasks = tuple(
        _percent(task, table[column], num_merged) for task, column in task_columns(table).items()
    )
    return LeaderboardView(
        title=f"Leaderboard of {study}: {len(tasks)} tasks, protocol {protocols}",
        caption=_caption(table),
        methods=tuple(
            f"{method} {SUSPECT}" if said else method
            for method, said in zip(table["method"], table["collapse"], strict=True)
        ),
        num_merged=num_merged,
        summary=(
            Column("score", tuple(_number(value, "{:.3f}") for value in table["score"])),
            _with_spread(_percent("mean", table["accuracy"], num_merged), table["spread"]),
            *(_percent(name, table[column], num_merged) for name, column in suites.items()),
            *([lost] if table["lost"].notna().any() else []),
            _percent("retained", table["retained"], num_merged),
            Column("trials", tuple(str(count) for count in table["trials"])),
            *([seeds] if table["seeds"].max() > 1 else []),
            *([failed] if table["failed"].any() else []),
            Column("cost", tuple(_duration(value) for value in table["cost_s"])),
            Column("total", tuple(_duration(value) for value in table["total_s"])),
        ),
        tasks=tasks,
    )


def leaderboard_json(table: "pd.DataFrame") -> str:
    """Give a leaderboard as a JSON list of objects, one per method; missing numbers are null."""
    return table.to_json(orient="records", indent=2, double_precision=15)


def _caption(table: "pd.DataFrame") -> Text:
    criteria = table["criterion"].dropna()
    by = "none has one"
    if not criteria.empty:
        by = SELECTED_BY.get(criteria.iloc[0], criteria.iloc[0])
    routed = f"{SUITE_PREFIX}routing" in table
    lost, repeated = table["lost"].notna().any(), table["seeds"].max() > 1
    differing = [name for name in INPUTS if table[name].nunique() > 1]
    caution = f"\nCAUTION: the runs differ in {', '.join(differing)}; their numbers do not compare."
    return Text.assemble(
        (f"Best score on select images: {by}.\n", "dim"),
        ("Accuracy in percent, on report images; retained: in percent of individual's.", "dim"),
        ("\nlost: in percent of mean, at the highest level." if lost else "", "dim"),
        ("\nrouting: images sent to their own task; withheld: accuracy without its name.", "dim")
        if routed
        else "",
        (
            "\n±: standard deviation over seeds; accuracies and cost are means."
            if repeated
            else "",
            "dim",
        ),
        (caution if differing else "", "yellow"),
        *((f"\n{SUSPECT} collapse? {line}", "yellow") for line in _suspicions(table)),
    )


def _suspicions(table: "pd.DataFrame") -> Iterator[str]:
    """Yield what looks like a collapse, method by method."""
    for method, said in zip(table["method"], table["collapse"], strict=True):
        if said:
            yield f"{method}: {said}"


def _with_spread(column: Column, spread: Iterable[float]) -> Column:
    """Give the column with its standard deviations behind its values, where there are any."""
    cells = (
        f"{cell} ±{100 * deviation:.1f}" if math.isfinite(deviation) else cell
        for cell, deviation in zip(column.cells, spread, strict=True)
    )
    return replace(column, cells=tuple(cells))


def _percent(
    title: str,
    values: Iterable[float],
    num_merged: int,
    *,
    best: Callable[[Iterable[float]], float] = max,
) -> Column:
    cells = tuple(_number(100 * value, "{:.1f}") for value in values)
    shown = [float(cell) for cell in cells[:num_merged] if cell != MISSING]
    marked = {f"{best(shown):.1f}"} if shown else set()
    return Column(title, cells, frozenset(i for i in range(num_merged) if cells[i] in marked))


def _number(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else MISSING


def _duration(seconds: float) -> str:
    if not math.isfinite(seconds):
        return MISSING
    return f"{seconds:,.0f} s"


def _cell(column: Column, row: int) -> Text:
    return Text(column.cells[row], style="bold green" if row in column.best else column.style)


def _lines(columns: Sequence[Column], room: int) -> list[Sequence[Column]]:
    """Give the columns in as few parts as fit ``room``, each filled before the next."""
    parts: list[list[Column]] = [[]]
    left = room
    for column in columns:
        left -= 1 + _width(column)
        if left < 0 and parts[-1]:
            parts.append([])
            left = room - 1 - _width(column)
        parts[-1].append(column)
    return list(parts)


def _width(column: Column) -> int:
    return max(min(TASK_WIDTH, len(column.title)), *map(len, column.cells))


def _parts(columns: Sequence[Column], width: int) -> list[Sequence[Column]]:
    """Give the columns in parts of about equal size that fit ``width``."""
    most = max(1, width // (TASK_WIDTH + 1))
    num_parts = math.ceil(len(columns) / most)
    size = math.ceil(len(columns) / max(1, num_parts))
    return [columns[start : start + size] for start in range(0, len(columns), max(1, size))]
