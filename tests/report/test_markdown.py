from dataclasses import replace
from pathlib import Path

from distmerge.report import Report, markdown, study_report
from distmerge.report.content import Table
from tests.report.results import LOST, stored


def test_markdown_has_all_tables_of_the_page(full_report: Report) -> None:
    text = markdown(full_report)
    parts = [part for section in full_report.sections for part in section.parts]
    tables = [part if isinstance(part, Table) else part.table for part in parts]
    assert all(f"**{table.caption}**" in text for table in tables if table)
    assert "| router | 73.3 |" in text


def test_rows_have_as_many_cells_as_titles(full_report: Report) -> None:
    lines = [line for line in markdown(full_report).splitlines() if line.startswith("|")]
    assert lines
    rules = [i for i, line in enumerate(lines) if line.startswith("| ---")]
    for rule in rules:
        assert lines[rule].count("|") == lines[rule - 1].count("|") == lines[rule + 1].count("|")


def test_messages_cannot_break_a_table_or_become_html(tmp_path: Path) -> None:
    lost = replace(LOST[0], error="a | b\n<script>alert(1)</script>")
    text = markdown(study_report(stored(tmp_path, lost)))
    assert "a \\| b \\<script\\>alert(1)\\</script\\>" in text
