import math

import pytest

from distmerge.report.content import Table, duration, percent, shares, slug_of, words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (119.0, "119 s"), (600.0, "10 min"), (9000.0, "2.5 h"), (math.nan, "-")],
)
def test_a_duration_is_in_the_unit_that_reads_best(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_the_best_of_the_merged_rows_is_marked() -> None:
    assert shares("x", [0.5, 0.7, 0.9], num_merged=2).best == {1}
    assert shares("x", [0.5, 0.7, 0.1], num_merged=2, lowest=True).best == {0}


def test_what_is_not_finite_is_a_dash() -> None:
    assert percent(math.nan) == "-"


def test_a_table_gives_its_rows() -> None:
    table = Table("x", (words("a", ["p", "q"]), shares("b", [0.1, 0.2])))
    assert table.rows == [("p", "10.0"), ("q", "20.0")]


def test_a_slug_is_safe_in_files_and_links() -> None:
    assert slug_of("Ties+Surgery/<x>") == "ties-surgery-x"
