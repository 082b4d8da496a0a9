"""All benchmarks in one table, on the screen and in docs/performance.md."""

from collections.abc import Iterable

from rich.table import Table

from benchmarks.rows import Row

COLUMNS = ("benchmark", "ours", "peer", "ratio", "limit", "ours / limit", "target", "peak memory")


def table(rows: Iterable[Row]) -> Table:
    """Give the rows as one table; a target that is missed is red and says so."""
    found = Table(*COLUMNS, box=None, header_style="bold", caption_justify="left")
    for row in rows:
        found.add_row(*cells(row), style="bold red" if row.met is False else None)
    return found


def markdown(rows: Iterable[Row]) -> str:
    """Give the same table for a page; a target that is missed is bold."""
    lines = [COLUMNS, ("---",) * len(COLUMNS)]
    for row in rows:
        texts = cells(row)
        lines.append(tuple(f"**{x}**" if x.endswith("missed") else x for x in texts))
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def cells(row: Row) -> tuple[str, ...]:
    """Give a row's texts, one for each of ``COLUMNS``."""
    return (
        row.name,
        _seconds(row.ours_s),
        _peer(row),
        _number(row.ratio),
        _seconds(row.limit_s),
        _number(row.limit_ratio),
        _target(row),
        _memory(row),
    )


def _peer(row: Row) -> str:
    if row.peer is None:
        return ""
    return f"{row.peer} {_seconds(row.peer_s) or 'not measured'}"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value >= 1 else f"{1e3 * value:.3g} ms"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    asked = f"≥ {row.target:g}" if row.peer else f"≤ {row.target:g}"
    return asked + {True: "", False: " missed", None: " not known"}[row.met]


def _memory(row: Row) -> str:
    if row.ours_peak_bytes is None:
        return ""
    theirs = "" if row.peer_peak_bytes is None else f", peer {row.peer_peak_bytes / 1e9:.2f} GB"
    return f"{row.ours_peak_bytes / 1e9:.2f} GB{theirs}"
