"""Successive halving from the study to the table, in this process and on Ray."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distmerge.coordinator import Progress
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import plan_lines, run_sweep
from distmerge.sweep.prepare import Prepared, prepare
from distmerge.sweep.search.rungs import rungs_reader
from distmerge.sweep.search.unfinished import all_unfinished
from distmerge.sweep.serial import local_session
from distmerge.sweep.trial import Recorder, attempt
from tests.sweep.studies import ADAPT, console, rows_of, study_of

RATES = {"adamerging.lr": {"log_uniform": [1e-4, 1e-1]}, "adamerging.init": 0.3}
FIELDS: dict[str, Any] = {
    "pipelines": [{"stages": ["adamerging"], "trials": 7, "settings": {**ADAPT, **RATES}}],
    "asha": {"first": 2, "reduction": 2},
}
RUNGS = [2, 4, 8]  # of 12 steps


def rung_rows(study: Study) -> pd.DataFrame:
    rows = RunStore(study.storage, HYPERS).records(study.study)
    return rows[rows["metric"].str.startswith("rung:")]


@pytest.fixture(scope="module")
def study(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = study_of(world, tmp_path_factory.mktemp("halving"), ray=False, **FIELDS)
    result = run_sweep(study, console())
    assert result.failed == 0
    assert result.best is not None
    return study


def test_runs_that_fall_behind_are_rows_of_their_own_and_end_early(study: Study) -> None:
    runs = rows_of(study).drop_duplicates("run_id")
    runs = runs[runs["method"] == "adamerging"]
    assert len(runs) == 7
    pruned = runs[runs["status"] == "pruned"]
    assert 0 < len(pruned) < 7
    assert set(pruned["step"]) <= set(RUNGS)
    assert set(runs["status"]) == {"ok", "pruned"}


def test_every_run_leaves_its_scores_at_the_rungs_that_it_reached(study: Study) -> None:
    rows = rung_rows(study)
    for _, run in rows.groupby("run_id"):
        reached = [int(name.removeprefix("rung:")) for name in run["metric"]]
        assert reached == RUNGS[: len(reached)]
        assert run["status"].iloc[0] == "pruned" or reached == RUNGS


def test_a_study_of_ended_runs_is_finished(study: Study) -> None:
    before = rows_of(study)
    assert list(plan_lines(study))[-1].endswith("runs still to do: 0")
    run_sweep(study, console())
    pd.testing.assert_frame_equal(rows_of(study), before)


def test_a_run_that_ended_early_never_wins(study: Study) -> None:
    result = run_sweep(study, console())
    assert result.best is not None
    rows = rows_of(study)
    assert set(rows[rows["run_id"] == result.best.run_id]["status"]) == {"ok"}


def test_without_halving_ended_runs_are_done_to_their_end(study: Study, tmp_path: Path) -> None:
    rows = rows_of(study)
    ended = rows[rows["status"] == "pruned"]["run_id"].nunique()
    whole = study.model_copy(update={"asha": None})
    assert list(plan_lines(whole))[-1].endswith(f"runs still to do: {ended}")


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
@pytest.mark.slow
def test_halving_on_ray_one_run_at_a_time_equals_that_of_this_process(
    study: Study, world: ModelFiles, tmp_path: Path
) -> None:
    ray = {"timeout_s": 120.0, "actors": 1, "max_concurrent": 1}
    there = study_of(world, tmp_path, ray=ray, **FIELDS)
    run_sweep(there, console())
    pd.testing.assert_frame_equal(rows_of(there), rows_of(study), rtol=1e-5, atol=1e-6)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_local")
def test_halving_on_ray_with_runs_at_the_same_time_ends_some_and_loses_none(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, ray={"timeout_s": 120.0, "actors": 1}, **FIELDS)
    assert run_sweep(study, console()).failed == 0
    runs = rows_of(study).drop_duplicates("run_id")
    assert (runs["method"] == "adamerging").sum() == 7
    assert set(runs["status"]) <= {"ok", "pruned"}


def test_an_interrupted_run_keeps_its_scores_at_the_rungs(
    study: Study, world: ModelFiles, tmp_path: Path
) -> None:
    again = study_of(world, tmp_path, ray=False, **FIELDS)
    prepared = prepare(again, lambda _: None)
    recorder = recorder_of(prepared)
    first = prepared.search.ask()
    assert first is not None
    with pytest.raises(KeyboardInterrupt):
        attempt(local_session(prepared, lambda _: None), first.config, "", _stop_at_six, recorder)
    assert list(all_unfinished(prepared.store, "tiny")[first.run_id].rungs) == [2, 4]
    run_sweep(again, console())
    pd.testing.assert_frame_equal(rows_of(again), rows_of(study))
    assert all_unfinished(prepared.store, "tiny") == {}


def recorder_of(prepared: Prepared) -> Recorder:
    rungs = rungs_reader(prepared.store, prepared.study, prepared.digests)
    return Recorder(prepared.store, prepared.study.study, rungs)


def _stop_at_six(progress: Progress) -> None:
    if progress.step == 6:
        raise KeyboardInterrupt


def test_a_restarted_recorder_knows_the_rungs_of_this_sweep(
    world: ModelFiles, tmp_path: Path
) -> None:
    prepared = prepare(study_of(world, tmp_path, ray=False, **FIELDS), lambda _: None)
    recorder = recorder_of(prepared)
    ended, running, late = (prepared.search.ask() for _ in range(3))
    assert ended is not None
    assert running is not None
    assert late is not None
    session = local_session(prepared, lambda _: None)
    recorder.append(attempt(session, ended.config, "", states=recorder))
    recorder.begin(running.run_id, running.config)
    assert recorder.stays(running.run_id, {2: 8.0})
    restarted = recorder_of(prepared)
    restarted.begin(late.run_id, late.config)
    assert not restarted.stays(late.run_id, {2: 7.0})  # behind the one in progress
    assert restarted.stays(late.run_id, {4: 7.0})
    assert not restarted.stays(late.run_id, {8: -7.0})  # behind the one that ended


def test_a_run_killed_between_the_decision_to_end_it_and_its_row_is_ended_again(
    world: ModelFiles, tmp_path: Path
) -> None:
    prepared = prepare(study_of(world, tmp_path, ray=False, **FIELDS), lambda _: None)
    recorder, session = recorder_of(prepared), local_session(prepared, lambda _: None)
    best, behind, *others = (prepared.search.ask() for _ in range(4))
    stays = []
    for suggestion, score in zip((best, behind, *others), (9.0, 0.5, 0.1, 0.1), strict=True):
        assert suggestion is not None
        recorder.begin(suggestion.run_id, suggestion.config)
        stays.append(recorder.stays(suggestion.run_id, {2: score}))
    assert stays == [True, False, False, False]
    assert behind is not None
    record = attempt(session, behind.config, "", states=recorder_of(prepared)).record
    assert (record.status, record.step) == ("pruned", 2)
    assert [(m.metric, m.value) for m in record.metrics] == [("rung:2", 0.5)]


def test_a_run_killed_at_a_rung_takes_its_look_there_when_it_goes_on(
    study: Study, world: ModelFiles, tmp_path: Path
) -> None:
    again = study_of(world, tmp_path, ray=False, checkpoint_s=0.0, **FIELDS)
    prepared = prepare(again, lambda _: None)
    first = prepared.search.ask()
    assert first is not None

    def kill(progress: Progress) -> None:
        if progress.step == 4:
            raise SystemExit

    with pytest.raises(SystemExit):
        attempt(
            local_session(prepared, lambda _: None), first.config, "", kill, recorder_of(prepared)
        )
    run_sweep(again, console())
    pd.testing.assert_frame_equal(rows_of(again), rows_of(study))
