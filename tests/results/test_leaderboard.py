"""Which run stands for its method, and with which numbers."""

import math
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from distmerge.errors import ResultsError
from distmerge.results import Metric, leaderboard, suite_columns, task_columns
from tests.report.leaderboards import (
    INDIVIDUAL,
    PRETRAINED,
    STUDY,
    by_entropy,
    collapsed,
    failed,
    rows,
    run,
)
from tests.results.records import RECORD


def test_a_methods_run_is_chosen_by_select_score_not_by_report_accuracy(tmp_path: Path) -> None:
    table = leaderboard(
        rows(tmp_path, run("good", "learner", 0.9, 0.4), run("lucky", "learner", 0.1, 0.8)), STUDY
    )
    assert table[["run_id", "score", "accuracy"]].to_numpy().tolist() == [["good", 0.9, 0.4]]


@pytest.mark.parametrize("score", [math.nan, math.inf, None])
def test_a_run_without_a_finite_score_never_wins(tmp_path: Path, score: float | None) -> None:
    odd = run("odd", "learner", score, 1.0)
    table = leaderboard(rows(tmp_path, odd, run("plain", "learner", -5.0, 0.1)), STUDY)
    assert table["run_id"].tolist() == ["plain"]


def test_a_run_without_a_finite_accuracy_never_wins(tmp_path: Path) -> None:
    odd = run("odd", "learner", 0.9, math.nan)
    table = leaderboard(rows(tmp_path, odd, run("plain", "learner", 0.1, 0.1)), STUDY)
    assert table["run_id"].tolist() == ["plain"]


@pytest.mark.parametrize("status", ["error", "pruned"])
def test_a_run_that_did_not_end_well_never_wins(tmp_path: Path, status: str) -> None:
    lost = replace(run("lost", "learner", 0.9, 1.0), status=status)  # type: ignore[arg-type]  # a Status
    table = leaderboard(rows(tmp_path, lost, run("plain", "learner", 0.1, 0.1)), STUDY)
    assert table["run_id"].tolist() == ["plain"]


def test_a_collapse_with_another_seed_is_named_with_it(tmp_path: Path) -> None:
    fine, again = run("a", "learner", 0.9, 0.5), collapsed(run("b", "learner", 0.8, 0.1))
    table = leaderboard(rows(tmp_path, fine, replace(again, seed=1)), STUDY)
    assert table["collapse"].tolist() == ["task0: 2 of 31 classes (seed 1)"]


def test_what_looks_like_a_collapse_is_that_of_the_run_shown(tmp_path: Path) -> None:
    shown = collapsed(run("shown", "learner", 0.9, 0.5))
    stored = rows(
        tmp_path,
        shown,
        run("beaten", "learner", 0.1, 0.5),
        run("fine", "fixer", 0.9, 0.4),
        collapsed(run("other", "fixer", 0.1, 0.4)),
    )
    table = leaderboard(stored, STUDY)
    assert table["collapse"].tolist() == ["task0: 2 of 31 classes", ""]


def test_only_runs_scored_by_the_latest_criterion_compete(tmp_path: Path) -> None:
    before, now = run("before", "learner", 0.9, 0.8), by_entropy(run("now", "learner", -0.2, 0.4))
    table = leaderboard(rows(tmp_path, now, before), STUDY)
    shown = table[["run_id", "criterion", "score", "trials"]].to_numpy().tolist()
    assert shown == [["now", "entropy", -0.2, 2]]


def test_a_method_scored_by_another_criterion_only_is_counted(tmp_path: Path) -> None:
    stored = rows(tmp_path, run("a", "learner", 0.9, 0.8), by_entropy(run("b", "fixer", -0.2, 0.4)))
    table = leaderboard(stored, STUDY)
    assert table["criterion"].tolist() == ["entropy", "entropy"]
    assert table["trials"].tolist() == [1, 1]
    assert table["run_id"].isna().tolist() == [False, True]


def test_a_failed_run_started_later_does_not_change_the_criterion(tmp_path: Path) -> None:
    lost = replace(by_entropy(run("b", "learner", -0.2, 0.4)), status="error")
    table = leaderboard(rows(tmp_path, run("a", "learner", 0.9, 0.8), lost), STUDY)
    assert table["criterion"].tolist() == ["agreement"]


def test_a_reference_has_no_say_in_the_criterion_and_no_score_by_another(tmp_path: Path) -> None:
    reference = by_entropy(run("i", "individual", -0.1, 1.0))
    table = leaderboard(rows(tmp_path, run("a", "learner", 0.9, 0.8), reference), STUDY)
    assert table["criterion"].fillna("none").tolist() == ["agreement", "none"]
    assert table["score"].isna().tolist() == [False, True]
    assert table["accuracy"].tolist() == [0.8, 1.0]


def test_a_reference_shows_its_score_by_the_criterion_of_the_study(tmp_path: Path) -> None:
    reference = run("p", "pretrained", 0.25, 0.5)
    table = leaderboard(rows(tmp_path, run("a", "learner", 0.9, 0.8), reference), STUDY)
    assert table["score"].tolist() == [0.9, 0.25]


def test_a_method_that_only_failed_is_shown_without_numbers(tmp_path: Path) -> None:
    table = leaderboard(rows(tmp_path, failed("f", "fixer"), run("a", "learner", 0.5, 0.5)), STUDY)
    assert table["method"].tolist() == ["learner", "fixer"]
    assert table[["trials", "failed"]].to_numpy().tolist()[1] == [0, 1]
    assert table["accuracy"].isna().tolist() == [False, True]


def test_a_study_in_which_everything_failed_is_shown(tmp_path: Path) -> None:
    table = leaderboard(rows(tmp_path, failed("f", "fixer"), failed("g", "learner")), STUDY)
    assert table["failed"].tolist() == [1, 1]
    assert table["accuracy"].isna().all()


def test_trials_and_failures_are_counted_by_run_not_by_attempt(tmp_path: Path) -> None:
    table = leaderboard(
        rows(
            tmp_path,
            run("a", "learner", 0.1, 0.1),
            run("b", "learner", 0.2, 0.2),
            failed("c", "learner"),
            failed("c", "learner", attempt=1),
            failed("a", "learner", attempt=1),
        ),
        STUDY,
    )
    assert table[["trials", "failed"]].to_numpy().tolist()[0] == [2, 1]


def test_the_total_is_the_time_of_every_attempt_and_the_cost_that_of_the_run(
    tmp_path: Path,
) -> None:
    records = [
        replace(run("a", "learner", 0.9, 0.1), wall_s=2.0),
        replace(run("b", "learner", 0.2, 0.2), wall_s=3.0),
        replace(failed("c", "learner"), wall_s=0.5),
        replace(failed("c", "learner", attempt=1), wall_s=0.25),
    ]
    table = leaderboard(rows(tmp_path, *records), STUDY)
    assert table[["cost_s", "total_s"]].to_numpy().tolist()[0] == [2.0, 5.75]


def test_methods_stand_by_accuracy_and_the_references_after_them(tmp_path: Path) -> None:
    table = leaderboard(
        rows(
            tmp_path,
            INDIVIDUAL,
            PRETRAINED,
            run("a", "fixer", 0.9, 0.3, 0.3),
            run("b", "learner", 0.1, 0.6, 0.4),
        ),
        STUDY,
    )
    assert table["method"].tolist() == ["learner", "fixer", "individual", "pretrained"]
    assert table["reference"].tolist() == [False, False, True, True]


def test_retained_is_the_mean_of_the_ratios_to_the_individual_models(tmp_path: Path) -> None:
    table = leaderboard(
        rows(tmp_path, INDIVIDUAL, PRETRAINED, run("a", "learner", 0.9, 0.5, 0.25)), STUDY
    )
    retained = table.set_index("method")["retained"].to_dict()
    assert retained == {"learner": 0.5, "individual": 1.0, "pretrained": 0.625}


def test_without_the_individual_models_nothing_is_retained(tmp_path: Path) -> None:
    table = leaderboard(rows(tmp_path, run("a", "learner", 0.9, 0.5)), STUDY)
    assert table["retained"].isna().all()


def test_of_a_reference_the_latest_run_is_shown(tmp_path: Path) -> None:
    later = replace(
        run("later", "individual", None, 0.5, 0.25),
        started_at=RECORD.started_at + timedelta(hours=1),
    )
    table = leaderboard(rows(tmp_path, INDIVIDUAL, later), STUDY)
    assert table["run_id"].tolist() == ["later"]


def test_every_task_has_its_column(tmp_path: Path) -> None:
    table = leaderboard(rows(tmp_path, run("a", "learner", 0.9, 0.5, 0.25)), STUDY)
    tasks = {task: table.loc[0, column] for task, column in task_columns(table).items()}
    assert tasks == {"task0": 0.5, "task1": 0.25}


def test_equal_scores_give_the_same_run_whatever_the_order_of_the_rows(tmp_path: Path) -> None:
    stored = rows(tmp_path, run("b", "learner", 0.5, 0.9), run("a", "learner", 0.5, 0.1))
    chosen = {leaderboard(table, STUDY)["run_id"][0] for table in (stored, stored[::-1])}
    assert chosen == {"a"}


def test_rows_read_by_pandas_alone_give_the_same_table(tmp_path: Path) -> None:
    stored = rows(tmp_path, INDIVIDUAL, run("a", "learner", 0.9, 0.5, 0.25), failed("f", "fixer"))
    pd.testing.assert_frame_equal(
        leaderboard(pd.read_parquet(tmp_path), STUDY), leaderboard(stored, STUDY)
    )


def test_runs_of_other_studies_play_no_part(tmp_path: Path) -> None:
    other = replace(run("other", "learner", 0.9, 0.9), study="other")
    rows(tmp_path, run("a", "learner", 0.1, 0.1), other)
    assert leaderboard(pd.read_parquet(tmp_path), STUDY)["run_id"].tolist() == ["a"]


def test_an_unknown_study_is_an_error_that_names_the_known_ones(tmp_path: Path) -> None:
    stored = rows(tmp_path, run("a", "learner", 0.1, 0.1))
    with pytest.raises(ResultsError, match=r"no run of study 'quick'.*: quick-start"):
        leaderboard(stored, "quick")


def test_importing_the_report_loads_neither_torch_nor_ray() -> None:
    code = "import sys, distmerge.report; print(sorted({'torch', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_of_several_studies_one_must_be_named(tmp_path: Path) -> None:
    rows(tmp_path, run("a", "learner", 0.1, 0.1), replace(run("b", "learner", 0.1, 0.1), study="o"))
    with pytest.raises(ResultsError, match=r"holds 2, name one: o, quick-start"):
        leaderboard(pd.read_parquet(tmp_path))


def test_the_only_study_needs_no_name(tmp_path: Path) -> None:
    stored = rows(tmp_path, run("a", "learner", 0.1, 0.1))
    pd.testing.assert_frame_equal(leaderboard(stored), leaderboard(stored, STUDY))


def test_levels_and_unseen_tasks_have_columns_of_their_own(tmp_path: Path) -> None:
    found = run("a", "learner", 0.5, 0.5)
    extra = (
        Metric("corrupted", "mean", "accuracy", 0.4, level="L1"),
        Metric("corrupted", "mean", "accuracy", 0.1, "contrast", 1, "L1"),
        Metric("unseen", "mean", "accuracy", 0.3),
    )
    table = leaderboard(rows(tmp_path, replace(found, metrics=(*found.metrics, *extra))), STUDY)
    assert suite_columns(table) == {"L1": "mean.L1", "unseen": "mean.unseen"}
    assert table[["accuracy", "mean.L1", "mean.unseen"]].to_numpy().tolist() == [[0.5, 0.4, 0.3]]
