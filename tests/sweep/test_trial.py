from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles
from distmerge.sweep.trial import Done, Recorder, attempt, ended, recipe_name
from tests.coordinator.sessions import config_of, session_of

DIVERGING: dict[str, float | str] = {
    "adamerging.lr": 1e30,
    "adamerging.projection": "none",
    "adamerging.steps": 5,
    "adamerging.batch_size": 8,
}


def test_an_attempt_gives_the_record_and_the_recipe(world: ModelFiles) -> None:
    done = attempt(session_of(world), config_of({}, "task_arithmetic"), "trial")
    assert done.record.status == "ok"
    assert done.record.trial_id == "trial"
    assert done.recipe is not None
    coefficients = safetensors.torch.load(done.recipe)["coefficients"]
    assert coefficients.unique().tolist() == [0.3]


def test_an_attempt_that_fails_gives_a_record_with_its_error(world: ModelFiles) -> None:
    done = attempt(session_of(world), config_of(DIVERGING, "adamerging"), "trial")
    assert done.recipe is None
    assert done.record.status == "error"
    assert done.record.metrics == ()
    assert done.record.error is not None
    assert done.record.error.startswith("DivergenceError: ")
    assert ended(done.record).score is None


def test_a_run_that_collapses_ends_with_what_looks_like_it(world: ModelFiles) -> None:
    reckless = {**DIVERGING, "adamerging.lr": 1.0, "adamerging.steps": 20}
    done = attempt(session_of(world), config_of(reckless, "adamerging"), "trial")
    assert ended(done.record).suspicion.startswith("alpha: 1 of 3 classes, ")


def test_a_run_that_learns_nothing_is_not_suspect(world: ModelFiles) -> None:
    done = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    assert ended(done.record).suspicion == ""


def test_a_run_of_a_used_process_equals_that_of_a_fresh_one(world: ModelFiles) -> None:
    session = session_of(world)
    adapt = {"adamerging.steps": 5, "adamerging.batch_size": 8}
    config = config_of({**adapt, "surgery.steps": 5}, "adamerging", "surgery")
    fresh = attempt(session, config, "a")
    attempt(session, config_of({"task_arithmetic.scaling": 1.5}, "task_arithmetic"), "b")
    again = attempt(session, config, "c")
    assert again.recipe == fresh.recipe
    assert again.record.metrics == fresh.record.metrics


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(str(tmp_path), HYPERS)


def test_a_recorder_stores_rows_and_recipe(world: ModelFiles, store: RunStore) -> None:
    done = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    Recorder(store, "tiny").append(done)
    assert set(store.records("tiny")["run_id"]) == {done.record.run_id}
    assert store.read_file(recipe_name("tiny", done.record.run_id)) == done.recipe


def test_a_recorder_numbers_attempts_and_a_good_one_replaces_the_others(
    world: ModelFiles, store: RunStore
) -> None:
    good = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    failed = Done(replace(good.record, status="error", error="lost", metrics=()), None)
    Recorder(store, "tiny").append(failed)
    Recorder(store, "tiny").append(failed)
    assert sorted(store.records("tiny")["attempt"]) == [0, 1]
    Recorder(store, "tiny").append(good)
    rows = store.records("tiny")
    assert set(rows["attempt"]) == {2}
    assert set(rows["status"]) == {"ok"}


def test_recording_a_run_again_leaves_one_run(world: ModelFiles, store: RunStore) -> None:
    done = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    recorder = Recorder(store, "tiny")
    recorder.append(done)
    before = len(store.records("tiny"))
    recorder.append(done)
    assert len(store.records("tiny")) == before
