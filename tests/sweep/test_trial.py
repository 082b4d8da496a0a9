import math
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import safetensors.torch
import torch

from distmerge.coordinator import Checkpoint, Progress
from distmerge.errors import DistmergeError, ResultsError, WorkerDiedError, WorkerTimeoutError
from distmerge.methods import HYPERS
from distmerge.results import RunStore, Status
from distmerge.run import named_record
from distmerge.spec import ModelFiles
from distmerge.sweep.advice import advice
from distmerge.sweep.search.unfinished import all_unfinished
from distmerge.sweep.trial import (
    Done,
    Recorder,
    _refuse_no_number,
    attempt,
    ended,
    recipe_name,
)
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


def earlier(done: Done, status: Status, hours: int) -> Done:
    """Give what another attempt at the same run left."""
    started_at = done.record.started_at - timedelta(hours=hours)
    error = "lost" if status == "error" else None
    return Done(
        replace(done.record, status=status, error=error, metrics=(), started_at=started_at), None
    )


@pytest.mark.parametrize("status", ["error", "pruned"])
def test_an_attempt_that_is_recorded_twice_is_stored_once(
    status: Status, world: ModelFiles, store: RunStore
) -> None:
    good = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    done, recorder = earlier(good, status, hours=1), Recorder(store, "tiny")
    recorder.append(done)
    recorder.append(done)
    Recorder(store, "tiny").append(done)
    assert list(store.records("tiny")["attempt"]) == [0]


def test_a_recorder_that_died_between_row_and_tidying_up_tidies_up_when_it_is_asked_again(
    world: ModelFiles, store: RunStore
) -> None:
    done = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    store.append(done.record)
    recorder = Recorder(store, "tiny")
    recorder.begin(done.record.run_id, config_of({}, "weight_averaging"))
    recorder.append(done)
    assert all_unfinished(store, "tiny") == {}
    assert set(store.records("tiny")["attempt"]) == {0}


def test_a_recorder_numbers_attempts_and_a_good_one_replaces_the_others(
    world: ModelFiles, store: RunStore
) -> None:
    good = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    Recorder(store, "tiny").append(earlier(good, "error", hours=2))
    Recorder(store, "tiny").append(earlier(good, "error", hours=1))
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


LEARNING: dict[str, float | str] = {"adamerging.steps": 6, "adamerging.batch_size": 4}


def test_a_run_that_takes_too_long_is_an_error_that_says_where_it_was(world: ModelFiles) -> None:
    session = session_of(world)
    short = replace(session, study=session.study.model_copy(update={"trial_timeout_s": 1e-9}))
    done = attempt(short, config_of(LEARNING, "adamerging"), "trial")
    assert done.record.status == "error"
    assert done.record.error is not None
    assert done.record.error.startswith("RunTimeoutError: ")
    assert "not done in 1e-09 s (trial_timeout_s): coefficients is at step 1 of 6" in (
        done.record.error
    )


@pytest.mark.parametrize("kind", [WorkerDiedError, WorkerTimeoutError])
def test_a_worker_that_fails_is_no_fault_of_the_run(
    kind: type[DistmergeError], world: ModelFiles
) -> None:
    def lose(_progress: Progress) -> None:
        raise kind("gradients: the actor is lost")

    with pytest.raises(kind, match="the actor is lost"):
        attempt(session_of(world), config_of(LEARNING, "adamerging"), "trial", lose)


def test_a_run_that_fails_took_the_time_of_all_its_attempts(
    world: ModelFiles, store: RunStore
) -> None:
    session, config = session_of(world), config_of(LEARNING, "adamerging")

    def fail(_progress: Progress) -> None:
        raise ValueError("lost")

    recorder = Recorder(store, "tiny")
    with pytest.raises(KeyboardInterrupt):
        attempt(session, config, "a", interrupted, recorder)
    first = attempt(session, config, "b", fail, recorder).record
    spent_s = Checkpoint(recorder.read_state(first.run_id), lambda _: None, 1.0).wall_s
    assert first.wall_s > spent_s > 0


def interrupted(progress: Progress) -> None:
    if progress.step == 4:
        raise KeyboardInterrupt


def test_an_interrupted_run_goes_on_from_what_the_recorder_kept_and_leaves_nothing(
    world: ModelFiles, store: RunStore, tmp_path: Path
) -> None:
    session, config = session_of(world), config_of(LEARNING, "adamerging")
    recorder, trace = Recorder(store, "tiny"), list[Progress]()
    with pytest.raises(KeyboardInterrupt):
        attempt(session, config, "a", interrupted, recorder)
    assert len(list(tmp_path.glob("_runs/tiny/*.safetensors"))) == 1
    (unfinished,) = all_unfinished(store, "tiny").values()
    assert unfinished.config == config
    done = attempt(session, config, "b", trace.append, Recorder(store, "tiny"))
    assert [progress.step for progress in trace] == [4, 5, 6]
    assert done.recipe == attempt(session, config, "c").recipe
    recorder.append(done)
    assert not list(tmp_path.glob("_runs/tiny/*"))


def test_a_state_of_other_code_is_an_error_of_its_run(world: ModelFiles, store: RunStore) -> None:
    session, config = session_of(world), config_of(LEARNING, "adamerging")
    recorder = Recorder(store, "tiny")
    recorder.write_state(named_record(session, config).run_id, b"x")
    error = attempt(session, config, "a", states=recorder).record.error
    assert error is not None
    assert error.startswith("CheckpointError: the stored state of an interrupted run does not fit")


def test_a_score_that_is_no_number_is_an_error_whose_numbers_are_kept(world: ModelFiles) -> None:
    record = attempt(session_of(world), config_of({}, "weight_averaging"), "trial").record
    lost = tuple(
        metric._replace(value=math.nan) if metric.metric.startswith("score:") else metric
        for metric in record.metrics
    )
    refused = _refuse_no_number(replace(record, metrics=lost))
    assert (refused.status, refused.error) == ("error", "DivergenceError: the score is nan")
    assert refused.metrics == lost
    assert ended(refused).score is None
    assert _refuse_no_number(record) == record


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 1 bytes"),
        RuntimeError("could not create a primitive"),
        "Task was killed: node running low on memory",
    ],
    ids=repr,
)
def test_a_lack_of_memory_comes_with_advice(error: object) -> None:
    assert "ray.max_concurrent" in advice(error)


def test_other_errors_speak_for_themselves() -> None:
    assert advice(ValueError("x")) == ""


@contextmanager
def full_disk() -> Iterator[None]:
    """Let the kernel refuse to write files of any size, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def files_of(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_row_that_finds_no_room_is_named_and_leaves_nothing(
    world: ModelFiles, store: RunStore, tmp_path: Path
) -> None:
    done = attempt(session_of(world), config_of({}, "weight_averaging"), "trial")
    recorder = Recorder(store, "tiny")
    with pytest.raises(ResultsError, match=r"_recipes/tiny/.*: cannot write"), full_disk():
        recorder.append(done)
    with pytest.raises(ResultsError, match=r"\.parquet: cannot write"), full_disk():
        recorder.append(Done(done.record, None))
    assert files_of(tmp_path) == []


def test_a_state_that_finds_no_room_is_no_fault_of_the_run(
    world: ModelFiles, store: RunStore, tmp_path: Path
) -> None:
    session, recorder = session_of(world), Recorder(store, "tiny")
    often = replace(session, study=session.study.model_copy(update={"checkpoint_s": 0.0}))
    with pytest.raises(ResultsError, match=r"_runs/tiny/.*: cannot write"), full_disk():
        attempt(often, config_of(LEARNING, "adamerging"), "trial", states=recorder)
    assert files_of(tmp_path) == []
