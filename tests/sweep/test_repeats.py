"""The best configuration of every pipeline with several seeds, from the study to the table."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import SweepResult, plan_lines, run_sweep
from distmerge.sweep.search.current import stored_config
from tests.sweep.studies import ADAPT, console, rows_of, study_of

LEARNING = {**ADAPT, "adamerging.lr": {"choice": [0.001, 0.01]}}
FIELDS: dict[str, Any] = {
    "repeats": 3,
    "pipelines": [
        {"stages": ["task_arithmetic"], "trials": 2},
        {"stages": ["adamerging"], "trials": 2, "settings": LEARNING},
    ],
}
NUM_RUNS = 2 + 2 + 2  # trials of both, and the best learned one with two seeds more


@pytest.fixture(scope="module")
def study(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    return study_of(world, tmp_path_factory.mktemp("repeats"), ray=False, **FIELDS)


@pytest.fixture(scope="module")
def result(study: Study) -> SweepResult:
    return run_sweep(study, console())


def runs_of(study: Study) -> pd.DataFrame:
    """Give one row per run, with its seed and settings, and its mean accuracy as the value."""
    rows = RunStore(study.storage, HYPERS).records(study.study)
    mean = (rows["suite"] == "clean") & (rows["task"] == "mean") & (rows["metric"] == "accuracy")
    return rows[mean]


@pytest.mark.usefixtures("result")
def test_the_best_learned_run_is_repeated_and_the_others_are_not(study: Study) -> None:
    runs = runs_of(study)
    assert len(runs) == runs["run_id"].nunique() == NUM_RUNS + 2
    seeds = runs.groupby("method")["seed"].apply(sorted)
    assert seeds["adamerging"] == [0, 0, 1, 2]
    assert seeds["task_arithmetic"] == [0, 0]
    assert seeds["individual"] == seeds["pretrained"] == [0]


@pytest.mark.usefixtures("result")
def test_a_second_sweep_repeats_nothing_and_adds_no_row(study: Study) -> None:
    before = rows_of(study)
    assert list(plan_lines(study))[-1].endswith("runs still to do: 0")
    run_sweep(study, console())
    pd.testing.assert_frame_equal(rows_of(study), before)


def test_the_table_shows_the_mean_and_spread_of_what_was_repeated(
    study: Study, result: SweepResult
) -> None:
    board = result.leaderboard.set_index("method")
    shown = board.loc["adamerging"]
    runs = runs_of(study).set_index("run_id")
    same = runs[(runs.index == shown["run_id"]) | (runs["seed"] > 0)]
    assert (shown["seeds"], shown["trials"], runs.loc[shown["run_id"], "seed"]) == (3, 2, 0)
    assert shown["accuracy"] == pytest.approx(same["value"].mean())
    assert shown["spread"] == pytest.approx(same["value"].std())
    assert shown["cost_s"] == pytest.approx(same["wall_s"].mean())
    assert board["seeds"].drop("adamerging").tolist() == [1, 1, 1]


def test_the_saved_model_is_of_the_first_seed(study: Study, result: SweepResult) -> None:
    assert result.best is not None
    runs = runs_of(study).set_index("run_id")
    assert runs.loc[result.best.run_id, "seed"] == 0


def test_a_repeat_equals_the_run_of_a_study_with_that_seed(
    study: Study, result: SweepResult, world: ModelFiles, tmp_path: Path
) -> None:
    board, runs = result.leaderboard, runs_of(study)
    best = board[board["method"] == "adamerging"]["run_id"].item()
    (row,) = runs[runs["run_id"] == best].to_dict("records")
    pipeline = {"stages": ["adamerging"], "settings": stored_config(row).values()}
    other = study_of(world, tmp_path, ray=False, seed=2, pipelines=[pipeline])
    run_sweep(other, console())
    alone = rows_of(other)
    expected = alone[alone["method"] == "adamerging"].reset_index(drop=True)
    rows = rows_of(study)
    found = rows[rows["run_id"].isin(expected["run_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(found, expected)


def test_more_repeats_of_a_finished_study_run_those_alone(
    world: ModelFiles, tmp_path: Path
) -> None:
    pipelines = FIELDS["pipelines"][1:]
    run_sweep(study_of(world, tmp_path, ray=False, pipelines=pipelines), console())
    study = study_of(world, tmp_path, ray=False, pipelines=pipelines, repeats=2)
    before = rows_of(study)
    assert list(plan_lines(study))[-1].endswith("runs still to do: 1")
    run_sweep(study, console())
    more = rows_of(study)
    new = more[~more["run_id"].isin(before["run_id"])]
    assert new["run_id"].nunique() == 1


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local", "result")
@pytest.mark.parametrize("slots", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_repeats_on_ray_give_the_rows_of_this_process(
    slots: int, study: Study, world: ModelFiles, tmp_path: Path
) -> None:
    ray = {"timeout_s": 120.0, "actors": 2, "max_concurrent": slots}
    there = study_of(world, tmp_path, ray=ray, **FIELDS)
    run_sweep(there, console())
    pd.testing.assert_frame_equal(rows_of(there), rows_of(study), rtol=1e-5, atol=1e-6)
    assert runs_of(there)["seed"].tolist().count(2) == 1
