from pathlib import Path

import pytest

from benchmarks.page import GROWTH, PAGE, TABLE, marker, write_page
from benchmarks.rows import Row, append, this_machine


def test_what_was_measured_replaces_what_is_between_the_markers(tmp_path: Path) -> None:
    page, results, pictures = (tmp_path / name for name in ("page.md", "rows.parquet", "drawn"))
    lines = ("before", *marker(TABLE), "between", *marker(GROWTH), "after")
    page.write_text("\nold\n".join(lines))
    append([Row("merge", 0.3, limit_s=0.1, target=1.5)], this_machine(), results)
    pictures.mkdir()
    (pictures / "tasks.png").touch()
    write_page(page, results, pictures)
    text = page.read_text()
    assert "| merge | 300 ms |  |  | 100 ms | 3.00 | **≤ 1.5 missed** |  |\n" in text
    assert "\n![Cost by tasks](drawn/tasks.png)\n" in text
    assert text.count("old") == 4  # outside of the markers


def test_a_page_without_markers_is_an_error(tmp_path: Path) -> None:
    page, results = tmp_path / "page.md", tmp_path / "rows.parquet"
    page.write_text("text")
    append([Row("merge", 0.3)], this_machine(), results)
    with pytest.raises(ValueError, match="expected what is written between them"):
        write_page(page, results)


@pytest.mark.parametrize("part", [TABLE, GROWTH])
def test_the_page_has_its_markers(part: str) -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert all(text.count(line) == 1 for line in marker(part))
