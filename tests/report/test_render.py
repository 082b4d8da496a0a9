"""The terminal table: fits, says what chose the runs, and is plain text off a terminal."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from distmerge.report import leaderboard, leaderboard_json, render_leaderboard
from tests.report.leaderboards import INDIVIDUAL, PRETRAINED, STUDY, failed, rows, run

WIDE = tuple(0.5 + i / 100 for i in range(8))


def text(table: pd.DataFrame, width: int = 110, select: str | None = "agreement") -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(render_leaderboard(table, study=STUDY, select=select))
    return out.getvalue()


def words(printed: str) -> str:
    return " ".join(printed.split())


@pytest.fixture
def small(tmp_path: Path) -> pd.DataFrame:
    best = run("a", "learner+fixer", 0.9, 0.12345, 0.5)
    return leaderboard(rows(tmp_path, INDIVIDUAL, PRETRAINED, best), STUDY)


@pytest.fixture
def wide(tmp_path: Path) -> pd.DataFrame:
    records = run("a", "learner+fixer", 0.9, *WIDE), run("i", "individual", None, *WIDE)
    return leaderboard(rows(tmp_path, *records), STUDY)


def test_accuracies_are_percent_with_one_decimal(small: pd.DataFrame) -> None:
    (line,) = (line for line in text(small).splitlines() if line.startswith("learner+fixer"))
    assert line.split()[1:5] == ["0.9000", "31.2", "12.3", "50.0"]


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_line_is_wider_than_the_console(wide: pd.DataFrame, width: int) -> None:
    assert max(map(len, text(wide, width).splitlines())) <= width


@pytest.mark.parametrize("width", [80, 100, 120])
def test_every_accuracy_is_shown_whole_at_every_width(wide: pd.DataFrame, width: int) -> None:
    printed = text(wide, width)
    assert [f"{100 * value:.1f}" in printed for value in WIDE] == [True] * 8


def test_eight_tasks_fit_in_one_table_of_120_columns(wide: pd.DataFrame) -> None:
    assert sum(line.startswith("method ") for line in text(wide, 120).splitlines()) == 1


def test_off_a_terminal_the_table_is_plain_text(small: pd.DataFrame) -> None:
    assert "\x1b" not in text(small)


def test_the_references_stand_apart_below_the_methods(small: pd.DataFrame) -> None:
    lines = [line.split()[:1] for line in text(small).splitlines()]
    first = lines.index(["learner+fixer"])
    assert lines[first : first + 4] == [["learner+fixer"], [], ["individual"], ["pretrained"]]


@pytest.mark.parametrize(
    ("select", "said"),
    [
        ("agreement", "agreement with the individual models on the select images, without labels"),
        ("entropy", "prediction entropy on the select images, without labels"),
        ("accuracy", "accuracy on the labelled select images"),
        (None, "score on the select images"),
    ],
)
def test_the_caption_says_what_chose_the_runs(
    small: pd.DataFrame, select: str | None, said: str
) -> None:
    assert f"Best run per method by {said}." in words(text(small, select=select))


def test_the_caption_names_the_protocol(small: pd.DataFrame) -> None:
    assert "Protocol: disjoint." in words(text(small))


def test_the_caption_warns_of_runs_on_different_data(tmp_path: Path) -> None:
    other = replace(run("b", "learner", 0.5, 0.5), data_digest="other")
    table = leaderboard(rows(tmp_path, run("a", "fixer", 0.5, 0.5), other), STUDY)
    assert "CAUTION: the runs differ in data_digest" in words(text(table))


def test_failed_runs_have_a_column_only_where_there_are_any(
    tmp_path: Path, small: pd.DataFrame
) -> None:
    lost = leaderboard(rows(tmp_path / "lost", failed("f", "fixer")), STUDY)
    assert ("failed" in text(lost), "failed" in text(small)) == (True, False)


def test_a_method_name_in_brackets_is_no_markup(small: pd.DataFrame) -> None:
    assert "[red]x" in text(small.replace("learner+fixer", "[red]x"))


def test_json_gives_null_where_there_is_no_number(tmp_path: Path) -> None:
    table = leaderboard(rows(tmp_path, failed("f", "fixer"), INDIVIDUAL), STUDY)
    by_method = {entry["method"]: entry for entry in json.loads(leaderboard_json(table))}
    assert by_method["fixer"]["accuracy"] is None
    assert by_method["individual"]["accuracy.task0"] == 1.0
