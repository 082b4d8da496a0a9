"""The terminal table: fits, says what chose the runs, and is plain text off a terminal."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from distmerge.report import leaderboard_json, render_leaderboard
from distmerge.results import leaderboard
from tests.report.leaderboards import (
    INDIVIDUAL,
    PRETRAINED,
    STUDY,
    collapsed,
    failed,
    rows,
    run,
)

WIDE = tuple(0.5 + i / 100 for i in range(8))


def text(table: pd.DataFrame, width: int = 110) -> str:
    out = io.StringIO()
    Console(file=out, width=width).print(render_leaderboard(table, study=STUDY))
    return out.getvalue()


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
    assert line.split()[1:5] == ["0.900", "31.2", "12.3", "50.0"]


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
    _, _, _, rule, method, again, *references = text(small).splitlines()[:8]
    starts = [line.split()[0] for line in (method, *references)]
    assert (starts, again) == (["learner+fixer", "individual", "pretrained"], rule)


@pytest.mark.parametrize(
    ("criterion", "said"),
    [
        ("agreement", "agreement with individual models, without labels."),
        ("entropy", "minus prediction entropy, without labels."),
        ("accuracy", "accuracy, with labels."),
        (None, "none has one."),
    ],
)
def test_the_caption_says_what_chose_the_runs(
    small: pd.DataFrame, criterion: str | None, said: str
) -> None:
    assert f"Best score on select images: {said}" in text(small.assign(criterion=criterion))


@pytest.mark.parametrize("width", [80, 100])
def test_the_caption_is_two_lines(small: pd.DataFrame, width: int) -> None:
    assert text(small, width).rstrip().split("\n\n")[-1].count("\n") == 1


def test_the_title_names_the_protocol(small: pd.DataFrame) -> None:
    assert text(small).startswith(f"Leaderboard of {STUDY}: 2 tasks, protocol disjoint\n")


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0.04, "0 s"), (23.4, "23 s"), (110.2, "110 s"), (7260.0, "7,260 s")]
)
def test_costs_are_whole_seconds(small: pd.DataFrame, seconds: float, shown: str) -> None:
    line = text(small.assign(cost_s=seconds, total_s=seconds)).splitlines()[4]
    assert line.split()[-4:] == 2 * shown.split()


def test_the_caption_warns_of_runs_on_different_data(tmp_path: Path) -> None:
    other = replace(run("b", "learner", 0.5, 0.5), data_digest="other")
    table = leaderboard(rows(tmp_path, run("a", "fixer", 0.5, 0.5), other), STUDY)
    assert "CAUTION: the runs differ in data_digest" in text(table)


def test_a_run_that_looks_like_a_collapse_has_a_sign_and_a_footnote(
    tmp_path: Path, small: pd.DataFrame
) -> None:
    suspect = collapsed(run("a", "learner", 0.9, 0.5))
    printed = text(leaderboard(rows(tmp_path / "s", suspect, run("b", "fixer", 0.9, 0.5)), STUDY))
    assert "\nlearner * " in printed
    assert "\nfixer  " in printed
    assert "\n* collapse? learner: task0: 2 of 31 classes\n" in printed
    assert "collapse" not in text(small)


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
