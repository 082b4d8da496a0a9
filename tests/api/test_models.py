"""Merging in a notebook: the command's numbers, the command's errors."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from rich.console import Console

import distmerge
from distmerge.api import Merged, Models, Stage, merge, open_models, open_study, run_study
from distmerge.coordinator import Progress
from distmerge.errors import ConfigError
from distmerge.results import leaderboard, load
from distmerge.spec import ModelFiles
from tests.api.world import contents, places_of
from tests.sweep.exports import ROUTED, Exports
from tests.sweep.studies import written

ADAPT: Stage = {"adamerging": {"steps": 6, "batch_size": 8, "lr": 0.01}}
COLUMNS = ["suite", "task", "metric", "value", "corruption", "severity", "level", "step"]


def test_a_merge_has_the_rows_of_the_sweeps_run_to_the_last_bit(
    merged: Merged, exports: Exports
) -> None:
    rows = load(str(exports.storage), "tiny")
    run_id = exports.runs[merged.description.method]
    swept = rows[rows["run_id"] == run_id].reset_index(drop=True)
    assert merged.description.run_id == run_id
    pd.testing.assert_frame_equal(merged.results[COLUMNS], swept[COLUMNS], check_exact=True)


def test_a_saved_merge_is_the_export_of_the_sweeps_run_byte_for_byte(
    merged: Merged, exports: Exports, tmp_path: Path
) -> None:
    folder = merged.save(tmp_path / "model")
    assert contents(folder) == contents(exports.folders[merged.description.method])


def test_the_references_are_the_sweeps(models: Models, exports: Exports) -> None:
    rows = load(str(exports.storage), "tiny")
    swept = rows[rows["method"].isin(["pretrained", "individual"])].reset_index(drop=True)
    found = models.references.reset_index(drop=True)
    keys = ["run_id", "suite", "task", "metric", "level", "corruption"]
    found, swept = (part.sort_values(keys, ignore_index=True) for part in (found, swept))
    columns = [*keys, "value"]
    pd.testing.assert_frame_equal(found[columns], swept[columns], check_exact=True)


def test_the_leaderboard_of_notebook_rows_names_every_merge(models: Models) -> None:
    rows = [models.merge(stages).results for stages in ("ties", "weight_averaging")]
    table = leaderboard(pd.concat([models.references, *rows]))
    assert set(table["method"]) == {"ties", "weight_averaging", "individual", "pretrained"}
    assert table["retained"].notna().all()


def test_every_step_is_shown(models: Models) -> None:
    seen: list[Progress] = []
    models.merge(ADAPT, observe=seen.append)
    assert [(p.problem, p.step) for p in seen] == [("coefficients", n) for n in range(1, 7)]


def test_an_interrupted_merge_leaves_nothing_behind(models: Models) -> None:
    def stop(progress: Progress) -> None:
        if progress.step == 3:
            raise KeyboardInterrupt

    first = models.merge(ADAPT).metrics
    with pytest.raises(KeyboardInterrupt):
        models.merge(ADAPT, observe=stop)
    pd.testing.assert_frame_equal(models.merge(ADAPT).metrics, first, check_exact=True)


def test_another_seed_is_another_run(models: Models) -> None:
    first, second = (models.merge(ADAPT, seed=seed) for seed in (0, 1))
    assert first.description.run_id != second.description.run_id
    assert second.description.seed == 1


def test_all_in_one_call_is_the_same(models: Models, world: ModelFiles) -> None:
    once = merge(**places_of(world), stages="ties", study="tiny", levels=["L1"])
    pd.testing.assert_frame_equal(once.metrics, models.merge("ties").metrics, check_exact=True)


def test_a_study_file_gives_its_models(models: Models, world: ModelFiles, tmp_path: Path) -> None:
    path = written(world, tmp_path)
    merged = open_study(path, "levels=[L1]").merge("ties")
    assert merged.description.run_id == models.merge("ties").description.run_id
    assert not (tmp_path / "results").exists()


def test_a_study_runs_as_the_command_runs_it(world: ModelFiles, tmp_path: Path) -> None:
    path = written(world, tmp_path, pipelines=[{"stages": ["ties"]}])
    console = Console(file=io.StringIO())
    result = run_study(path, "ray=false", console=console)
    assert result.failed == 0
    assert "features" in console.file.getvalue() or result.best  # type: ignore[attr-defined]
    assert set(distmerge.read_results(str(tmp_path / "results"))["method"]) >= {"ties"}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("tie", "unknown method 'tie'"),
        ({"ties": {"densty": 0.2}}, "no such field; fields: "),
        ({"ties": {"density": 2.0}}, "less than or equal to 1, got 2.0"),
        (["surgery"], "cannot stand first"),
        ([ROUTED, "surgery"], "surgery cannot follow bd_merging"),
        ({"ties": {"density": {"uniform": [0.1, 0.5]}}}, "ties.density: got a range"),
    ],
    ids=["method", "setting", "value", "order", "routed", "range"],
)
def test_wrong_stages_are_refused_as_in_a_study(stages: Any, message: str, models: Models) -> None:
    with pytest.raises(ConfigError, match=message):
        models.merge(stages)


def test_a_seed_that_no_study_can_have_is_refused(models: Models) -> None:
    with pytest.raises(ConfigError, match=r"seed: .*greater than or equal to 0, got -1"):
        models.merge("ties", seed=-1)


def without_data(places: dict[str, Any]) -> dict[str, Any]:
    return {**places, "data": {"alpha": places["data"]["alpha"]}}


def with_unknown_data(places: dict[str, Any]) -> dict[str, Any]:
    return {**places, "data": {**places["data"], "omega": "omega"}}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without_data, r"models\.tasks\.1\.data: required.*\n.*models\.tasks\.2\.data: required"),
        (with_unknown_data, "no checkpoint of omega; tasks: alpha, beta, gamma"),
        (lambda places: {**places, "protocl": "disjoint"}, "protocl: unknown key; did you mean"),
    ],
    ids=["no data", "no checkpoint", "option"],
)
def test_wrong_files_and_options_are_named(
    change: Callable[[dict[str, Any]], dict[str, Any]], message: str, world: ModelFiles
) -> None:
    with pytest.raises(ConfigError, match=message):
        open_models(**change(places_of(world)))
