"""Trials on Ray that are killed, hang, are stopped or find no room, each for real."""

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import ray
import safetensors
import safetensors.torch

from distmerge.errors import CapacityError
from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import run_sweep
from tests.sweep.processes import TRIAL, children_of_this_process
from tests.sweep.studies import console, rows_of, study_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.usefixtures("ray_local")]

LONG = {"adamerging.steps": 300, "adamerging.batch_size": 4, "adamerging.keep": "best"}
ONE: list[dict[str, Any]] = [{"stages": ["adamerging"], "settings": LONG}]
TWO = [*ONE, {"stages": ["weight_averaging"]}]
PATIENCE_S = 120.0
EARLIER_S = 1000.0


@pytest.fixture(scope="module")
def undisturbed(world: ModelFiles, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    study = study_of(world, tmp_path_factory.mktemp("undisturbed"), ray=False, pipelines=ONE)
    run_sweep(study, console())
    return rows_of(study)


def long_study(world: ModelFiles, storage: Path, **changes: Any) -> Study:
    ray_ = {"timeout_s": 120.0, "max_concurrent": 1}
    return study_of(
        world, storage, **{"ray": ray_, "pipelines": ONE, "checkpoint_s": 0.0, **changes}
    )


def once_it_learns(storage: Path, act: Callable[[Path, int], None]) -> threading.Thread:
    """Do something once a state is saved, knowing its file and the trial's process."""

    def wait() -> None:
        end = time.monotonic() + PATIENCE_S
        while not (states := list(storage.glob("_runs/tiny/*.safetensors"))):
            if time.monotonic() > end:
                return
            time.sleep(0.01)
        act(states[0], children_of_this_process(TRIAL)[-1])

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


def age(state: Path) -> None:
    """Let a state say that it took much longer to get there."""
    with safetensors.safe_open(state, framework="pt") as file:
        metadata = {**file.metadata(), "wall_s": str(EARLIER_S)}
    state.write_bytes(safetensors.torch.save(safetensors.torch.load_file(state), metadata))


def test_a_run_whose_process_is_killed_goes_on_in_another(
    world: ModelFiles, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    study = long_study(world, tmp_path)

    def kill(state: Path, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        time.sleep(0.3)  # the recorder may be writing what it was sent last
        age(state)

    killer = once_it_learns(tmp_path, kill)
    assert run_sweep(study, console()).failed == 0
    assert not killer.is_alive()
    pd.testing.assert_frame_equal(rows_of(study), undisturbed, rtol=1e-5, atol=1e-6)
    finished = RunStore(study.storage, HYPERS).finished("tiny")
    assert finished[finished["method"] == "adamerging"]["wall_s"].min() > EARLIER_S


def test_a_run_whose_process_is_killed_twice_is_one_row_and_the_sweep_goes_on(
    world: ModelFiles, tmp_path: Path
) -> None:
    study = long_study(world, tmp_path, pipelines=TWO)

    def kill(_state: Path, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        end = time.monotonic() + PATIENCE_S
        while children_of_this_process(TRIAL)[-1:] in ([], [pid]):
            if time.monotonic() > end:
                return
            time.sleep(0.05)
        os.kill(children_of_this_process(TRIAL)[-1], signal.SIGKILL)

    once_it_learns(tmp_path, kill)
    assert run_sweep(study, console()).failed == 1
    runs = RunStore(study.storage, HYPERS).records("tiny").drop_duplicates(["run_id", "attempt"])
    assert runs["method"].is_unique
    status = runs.set_index("method")["status"].astype(str)
    assert (status["adamerging"], status["weight_averaging"]) == ("error", "ok")
    error = runs.set_index("method")["error"]["adamerging"]
    assert error.startswith("the trial's process was lost: ")


def test_a_trial_that_hangs_is_a_row_and_the_sweep_goes_on(
    world: ModelFiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distmerge.sweep.watch._GRACE_S", 1.0)
    study = long_study(world, tmp_path, pipelines=TWO, trial_timeout_s=30.0)
    once_it_learns(tmp_path, lambda _state, pid: os.kill(pid, signal.SIGSTOP))
    assert run_sweep(study, console()).failed == 1
    runs = RunStore(study.storage, HYPERS).records("tiny").drop_duplicates("run_id")
    rows = runs.set_index("method")
    assert rows["error"]["adamerging"].startswith("not done in 30 s (trial_timeout_s)")
    assert rows["status"]["weight_averaging"] == "ok"


def test_a_stopped_driver_has_runs_save_their_state_and_goes_on_later(
    world: ModelFiles, tmp_path: Path, undisturbed: pd.DataFrame
) -> None:
    study = long_study(world, tmp_path, checkpoint_s=0.5)
    once_it_learns(tmp_path, lambda _state, _pid: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        run_sweep(study, console())
    assert "adamerging" not in set(rows_of(study)["method"])
    assert run_sweep(study, console()).failed == 0
    pd.testing.assert_frame_equal(rows_of(study), undisturbed, rtol=1e-5, atol=1e-6)


def test_a_trial_without_room_is_named_soon(world: ModelFiles, tmp_path: Path) -> None:
    group = ray.util.placement_group([{"CPU": 4}])
    assert group.wait(30)
    try:
        study = long_study(world, tmp_path, ray={"timeout_s": 120.0, "start_timeout_s": 1.0})
        start = time.monotonic()
        with pytest.raises(CapacityError, match=r"no trial could start in \d+ s .*free now"):
            run_sweep(study, console())
        assert time.monotonic() - start < 60
    finally:
        ray.util.remove_placement_group(group)
