from pathlib import Path

import pytest

from benchmarks.rows import Row, append, latest, this_machine

FAST = Row("step", 1.0, peer="other", peer_s=5.0, target=4.0, ours_peak_bytes=10, note="equal")


def test_rows_are_added_to_those_that_are_there(tmp_path: Path) -> None:
    path, machine = tmp_path / "results.parquet", this_machine()
    append([FAST], machine, path)
    append([Row("merge", 0.3, limit_s=0.1, target=1.5)], machine, path)
    assert [row.name for row, _ in latest(path)] == ["step", "merge"]
    assert latest(path)[0] == (FAST, machine)


def test_the_latest_row_of_a_name_counts(tmp_path: Path) -> None:
    path = tmp_path / "results.parquet"
    for ours_s in (1.0, 2.0):
        append([Row("step", ours_s)], this_machine(), path)
    assert [row.ours_s for row, _ in latest(path)] == [2.0]


def test_ratios_are_to_the_peer_and_to_the_limit() -> None:
    row = Row("merge", 2.0, peer="other", peer_s=6.0, limit_s=1.0)
    assert (row.ratio, row.limit_ratio) == (3.0, 2.0)


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (Row("a", 1.0, peer="other", peer_s=4.0, target=4.0), True),
        (Row("a", 1.0, peer="other", peer_s=3.9, target=4.0), False),
        (Row("a", 1.0, peer="other", target=4.0), None),
        (Row("a", 1.5, limit_s=1.0, target=1.5), True),
        (Row("a", 1.6, limit_s=1.0, target=1.5), False),
        (Row("a", 1.0, limit_s=1.0), None),
    ],
)
def test_a_target_is_of_the_peer_or_else_of_the_limit(row: Row, met: bool | None) -> None:
    assert row.met is met
