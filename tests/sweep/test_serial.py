from pathlib import Path

import pandas as pd

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import ADAPT, DIVERGING, NUM_RUNS, console, rows_of, study_of


def test_every_run_and_both_references_leave_rows(serial: pd.DataFrame) -> None:
    assert serial["run_id"].nunique() == NUM_RUNS + 2
    assert set(serial["method"]) == {
        "adamerging",
        "individual",
        "pretrained",
        "task_arithmetic",
        "task_arithmetic+surgery",
        "weight_averaging",
    }
    assert set(serial["status"]) == {"ok"}


def test_a_run_that_fails_is_a_row_and_the_sweep_goes_on(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, ray=False, pipelines=DIVERGING)
    result = run_sweep(study, console())
    rows = rows_of(study)
    assert result.failed == 1
    assert set(rows[rows["method"] == "adamerging"]["status"]) == {"error"}
    assert result.best is not None
    assert result.best.method == "weight_averaging"


def test_methods_that_share_a_search_are_rows_of_their_own(
    world: ModelFiles, tmp_path: Path
) -> None:
    group = {"any_of": [["task_arithmetic"], ["adamerging"]], "trials": 5, "settings": ADAPT}
    fields = {"pipelines": [group], "sampler": "nsga2", "objectives": ["score", "cost"]}
    study = study_of(world, tmp_path, ray=False, **fields)
    result = run_sweep(study, console())
    merged = result.leaderboard[~result.leaderboard["reference"]]
    assert set(merged["method"]) == {"task_arithmetic", "adamerging"}
    assert merged["trials"].sum() == 5
    assert result.failed == 0
