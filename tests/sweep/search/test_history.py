"""What stored rows tell a search, by this study's and by earlier ones' results."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from distmerge.errors import ConfigError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.run import named_record
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import plan_lines, run_sweep
from distmerge.sweep.prepare import prepare
from distmerge.sweep.search.current import stored_config
from distmerge.sweep.search.history import past_runs, stored_rows
from distmerge.sweep.serial import local_session
from distmerge.sweep.trial import Done, Recorder
from tests.coordinator.sessions import config_of
from tests.sweep.asked import identify
from tests.sweep.studies import ADAPT, console, study_of

RATES = {"adamerging.lr": {"log_uniform": [1e-4, 1e-1]}, "adamerging.init": 0.3}
FIELDS: dict[str, Any] = {
    "ray": False,
    "pipelines": [
        {"stages": ["task_arithmetic"], "trials": 3},
        {"stages": ["adamerging"], "trials": 2, "settings": {**ADAPT, **RATES}},
    ],
}


@pytest.fixture(scope="module")
def study(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> Study:
    study = study_of(world, tmp_path_factory.mktemp("history"), **FIELDS)
    run_sweep(study, console())
    return study


def store_of(study: Study) -> RunStore:
    return RunStore(study.storage, HYPERS)


def ids(rows: pd.DataFrame) -> dict[str, str]:
    """Give the stored run id of every configuration, by what identifies it here."""
    runs = rows.drop_duplicates("run_id").to_dict("records")
    return {identify(stored_config(row)): row["run_id"] for row in runs}


def test_runs_of_todays_inputs_come_with_score_and_cost_oldest_first(study: Study) -> None:
    rows = stored_rows(store_of(study), study)
    known = ids(rows.own)
    runs = past_runs(rows, study, lambda config: known[identify(config)])
    assert [run.config.name for run in runs].count("task_arithmetic") == 3
    assert {run.cost for run in runs if run.config.name == "task_arithmetic"} == {0.0}
    tasks = len(study.models.tasks) if isinstance(study.models, ModelFiles) else 0
    assert {run.cost for run in runs if run.config.name == "adamerging"} == {12 * 16.0 * tasks}
    assert all(run.score is not None and not run.warm for run in runs)
    started = rows.own.drop_duplicates("run_id").set_index("run_id")["started_at"]
    assert list(started[[run.run_id for run in runs]]) == sorted(
        started[[run.run_id for run in runs]]
    )


def test_runs_of_other_inputs_or_criteria_do_not_count(study: Study) -> None:
    rows = stored_rows(store_of(study), study)
    assert past_runs(rows, study, lambda _: "of other inputs") == ()
    known = ids(rows.own)
    by_entropy = study.model_copy(update={"select": "entropy"})
    assert past_runs(rows, by_entropy, lambda config: known[identify(config)]) == ()


@pytest.mark.parametrize("by_place", [False, True])
def test_a_study_starts_from_an_earlier_ones_runs(study: Study, *, by_place: bool) -> None:
    entry = study.storage if by_place else study.study
    later = study.model_copy(update={"study": "later", "seed": 5, "warm_start": (entry,)})
    runs = past_runs(stored_rows(store_of(later), later), later, identify)
    assert [run.warm for run in runs] == [True] * 5
    (line,) = (line for line in plan_lines(later) if "warm start" in line)
    assert line.strip() == "warm start from 5 runs of earlier studies"
    assert list(plan_lines(later))[-1].endswith("runs still to do: 5")


def test_this_studys_own_runs_are_no_warm_start(study: Study) -> None:
    again = study.model_copy(update={"warm_start": (study.storage,)})
    assert stored_rows(store_of(again), again).warm.empty


@pytest.mark.parametrize("entry", ["nobody", "./nowhere"])
def test_an_earlier_study_that_is_not_there_is_named(study: Study, entry: str) -> None:
    later = study.model_copy(update={"study": "later", "warm_start": (entry,)})
    with pytest.raises(ConfigError, match=f"warm_start: no results of '{entry}'"):
        stored_rows(store_of(later), later)


def test_a_warm_started_sweep_says_how_much_it_learns_from(study: Study, tmp_path: Path) -> None:
    pipeline = {"stages": ["task_arithmetic"], "trials": 1}
    later = Study.model_validate(
        {
            **study.model_dump(),
            "study": "later",
            "storage": str(tmp_path / "results"),
            "warm_start": [study.storage],
            "pipelines": [pipeline],
        }
    )
    shown = console()
    run_sweep(later, shown)
    text = shown.file.getvalue()  # type: ignore[attr-defined]  # a StringIO
    assert "warm start: the search learns from 3 runs of earlier studies" in text


def test_runs_that_were_in_progress_or_failed_are_asked_for_first(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = study_of(world, tmp_path, **FIELDS)
    prepared = prepare(study, lambda _: None)
    recorder = Recorder(prepared.store, study.study)
    first, second, third = (prepared.search.ask() for _ in range(3))
    for suggestion in (first, second, third):
        assert suggestion is not None
        recorder.begin(suggestion.run_id, suggestion.config)
    assert first is not None
    session = local_session(prepared, lambda _: None)
    failed = replace(named_record(session, first.config), status="error", error="lost")
    recorder.append(Done(failed, None))
    again = prepare(study, lambda _: None).search
    asked_again = [again.ask() for _ in range(3)]
    assert {s.run_id for s in asked_again if s} == {s.run_id for s in (first, second, third) if s}
    assert again.remaining == prepared.search.remaining
    (line,) = (line for line in plan_lines(study) if "still to do" in line)
    assert line.endswith("runs still to do: 5")


def test_runs_in_progress_of_other_inputs_are_left_alone(world: ModelFiles, tmp_path: Path) -> None:
    study = study_of(world, tmp_path, **FIELDS)
    recorder = Recorder(store_of(study), study.study)
    recorder.begin("of-other-inputs", config_of({}, "task_arithmetic"))
    assert past_runs(stored_rows(store_of(study), study), study, identify) == ()
