import io
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from distmerge.spec import ModelFiles
from distmerge.sweep import run_sweep
from tests.sweep.studies import ADAPT, NUM_RUNS, rows_of, study_of


def console() -> Console:
    return Console(file=io.StringIO(), width=120)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


@pytest.fixture(scope="module")
def serial(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """The rows of a sweep in this process."""
    study = study_of(world, tmp_path_factory.mktemp("serial"), ray=False)
    result = run_sweep(study, console())
    assert result.failed == 0
    return rows_of(study)


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


def test_a_run_that_fails_is_a_row_and_the_sweep_goes_on(world: ModelFiles, tmp_path: Path) -> None:
    diverging = {**ADAPT, "adamerging.lr": 1e30, "adamerging.projection": "none"}
    pipelines = [
        {"stages": ["adamerging"], "settings": diverging},
        {"stages": ["weight_averaging"]},
    ]
    study = study_of(world, tmp_path, ray=False, pipelines=pipelines)
    result = run_sweep(study, console())
    rows = rows_of(study)
    assert result.failed == 1
    assert set(rows[rows["method"] == "adamerging"]["status"]) == {"error"}
    assert result.best is not None
    assert result.best.method == "weight_averaging"


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.parametrize(
    "layout",
    [{"actors": 1}, {"actors": 2, "gradient": "actors"}, {"actors": 3, "max_concurrent": 1}],
    ids=["one actor", "two actors that compute gradients", "three actors"],
)
def test_a_sweep_on_ray_gives_the_rows_of_this_process(
    layout: dict[str, object],
    world: ModelFiles,
    serial: pd.DataFrame,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DISTMERGE_CACHE", str(tmp_path / "cache"))
    study = study_of(world, tmp_path / "results", ray={"timeout_s": 120.0, **layout})
    result = run_sweep(study, console())
    assert result.failed == 0
    pd.testing.assert_frame_equal(rows_of(study), serial, rtol=1e-5, atol=1e-6)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_a_run_that_fails_on_ray_is_a_row_and_the_sweep_goes_on(
    world: ModelFiles, tmp_path: Path
) -> None:
    diverging = {**ADAPT, "adamerging.lr": 1e30, "adamerging.projection": "none"}
    pipelines = [
        {"stages": ["adamerging"], "settings": diverging},
        {"stages": ["weight_averaging"]},
    ]
    study = study_of(world, tmp_path, pipelines=pipelines, ray={"timeout_s": 120.0})
    result = run_sweep(study, console())
    rows = rows_of(study)
    assert result.failed == 1
    assert set(rows[rows["method"] == "adamerging"]["status"]) == {"error"}
    assert set(rows[rows["method"] == "weight_averaging"]["status"]) == {"ok"}
