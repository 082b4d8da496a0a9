"""A report as Markdown: the same sentences and tables, without figures."""

import re
from collections.abc import Iterator

from distmerge.report.content import Report, Section, Table

_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")


def markdown(report: Report) -> str:
    """Give the report as GitHub-flavoured Markdown; texts of the study are escaped."""
    return "\n\n".join(_blocks(report)) + "\n"


def _blocks(report: Report) -> Iterator[str]:
    yield f"# {_escaped(report.study)}"
    yield from map(_escaped, report.headline)
    if report.cautions:
        yield _bullets(f"**Caution**: {_escaped(caution)}" for caution in report.cautions)
    yield _bullets(f"{name}: {_escaped(value)}" for name, value in report.facts)
    for section in report.sections:
        yield from _section(section)
    if report.omitted:
        yield "## Not in this report"
        yield _bullets(f"{part.title}: {_escaped(part.reason)}." for part in report.omitted)


def _section(section: Section) -> Iterator[str]:
    yield f"## {section.title}"
    yield from map(_escaped, section.sentences)
    for part in section.parts:
        table = part if isinstance(part, Table) else part.table
        if table:
            yield f"**{_escaped(table.caption)}**"
            yield _table(table)
    yield from map(_escaped, section.notes)


def _bullets(lines: Iterator[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _table(table: Table) -> str:
    rules = ["---:" if column.is_number else "---" for column in table.columns]
    cells = [
        [_code(cell) if column.is_code else _escaped(cell) for cell in column.cells]
        for column in table.columns
    ]
    lines = [[_escaped(column.title) for column in table.columns], rules, *zip(*cells, strict=True)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))


def _code(text: str) -> str:
    plain = text.replace("|", r"\|").replace("`", " ")
    return f"`{plain}`" if plain else ""
