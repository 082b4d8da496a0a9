import io
from pathlib import Path

import pandas as pd
from rich.console import Console

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import console, rows_of, study_of


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_second_sweep_runs_nothing_and_adds_no_row(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, ray=False)
    first = run_sweep(study, console())
    before = rows_of(study)
    again = console()
    second = run_sweep(study, again)
    pd.testing.assert_frame_equal(rows_of(study), before)
    assert second.best == first.best
    assert "run " not in printed(again)


def test_more_trials_continue_a_study(world: ModelFiles, tmp_path: Path) -> None:
    few = [{"stages": ["task_arithmetic"], "trials": 2}]
    more = [{"stages": ["task_arithmetic"], "trials": 4}]
    run_sweep(study_of(world, tmp_path, ray=False, pipelines=few), console())
    before = rows_of(study_of(world, tmp_path))
    output = console()
    run_sweep(study_of(world, tmp_path, ray=False, pipelines=more), output)
    after = rows_of(study_of(world, tmp_path))
    assert "run   2/2" in printed(output)
    assert set(before["run_id"]) < set(after["run_id"])
    assert after["run_id"].nunique() == 4 + 2
