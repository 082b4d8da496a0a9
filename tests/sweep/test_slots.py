import os
import time
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from ray import tune
from ray.tune.experiment import Trial

from distmerge.methods import HYPERS
from distmerge.spec import Pipeline, RayConfig, RunConfig, Study, digest
from distmerge.sweep.search.search import Search
from distmerge.sweep.signals import Stop
from distmerge.sweep.slots import FreeForWaiting, Slots
from distmerge.sweep.tuning import RunSearcher, tune_runs

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_local")]


class Waiting(NamedTuple):
    """What a scheduler sees of the controller."""

    trials: list[Trial]

    def get_live_trials(self) -> list[Trial]:
        return self.trials


def trials(count: int) -> list[Trial]:
    return [Trial("run", stub=True) for _ in range(count)]


def scheduler_of(room: int) -> FreeForWaiting:
    """Give a scheduler for a study that says how many trials there are at a time."""
    return FreeForWaiting(Slots(RayConfig(max_concurrent=room, trial_cpus=0.01), actors=()))


def test_runs_ask_for_their_processes_in_their_order() -> None:
    assert scheduler_of(2).choose_trial_to_run(Waiting(trials(3))) is None


def test_a_free_process_is_for_the_first_run_that_has_none_on_its_way() -> None:
    scheduler, (first, starting, waiting, later, new) = scheduler_of(2), trials(5)
    scheduler.choose_trial_to_run(Waiting([first, starting, waiting, later]))
    assert scheduler.choose_trial_to_run(Waiting([starting, waiting, later, new])) is waiting


def test_a_run_whose_process_is_starting_does_not_take_another() -> None:
    scheduler, (first, starting, new) = scheduler_of(2), trials(3)
    scheduler.choose_trial_to_run(Waiting([first, starting]))
    assert scheduler.choose_trial_to_run(Waiting([starting, new])) is None


def test_the_process_of_a_run_that_ends_is_for_the_one_that_waits() -> None:
    scheduler, (running, waiting) = scheduler_of(2), trials(2)
    running.set_status(Trial.RUNNING)
    scheduler.choose_trial_to_run(Waiting([running, waiting]))
    assert scheduler.choose_trial_to_run(Waiting([running, waiting])) is waiting


def test_as_many_runs_are_wanted_as_the_study_says() -> None:
    slots = Slots(RayConfig(max_concurrent=30), actors=(1,))
    assert (slots.room, slots.wanted) == (3, 30)


def test_one_run_more_than_fits_is_wanted_so_that_a_cluster_can_grow() -> None:
    slots = Slots(RayConfig(trial_cpus=2), actors=())
    assert (slots.room, slots.wanted) == (2, 3)


def short_runs() -> Any:
    """Give a trainable that leaves a file per process that starts, and per one that does a run.

    Defined here, so that it travels by value and its processes import nothing of ours.
    """

    class Short(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
        def setup(self, config: dict[str, Any], folder: Path) -> None:
            self._folder = folder
            (folder / f"started-{os.getpid()}").touch()

        def step(self) -> dict[str, Any]:
            time.sleep(0.05)  # shorter than the start of a process
            (self._folder / f"ran-{os.getpid()}").touch()
            return {"score": 0.0, "cost": 0.0, "rungs": (), "interrupted": False, "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            return True

    return Short


def identify(config: RunConfig) -> str:
    return digest([sorted(config.values().items())])


def test_runs_shorter_than_the_start_of_a_process_have_all_processes_and_no_more(
    tmp_path: Path,
) -> None:
    pipeline = Pipeline(stages=("task_arithmetic",), trials=60)
    study = Study.model_validate({"study": "s", "models": {"zoo": "tiny"}, "pipelines": [pipeline]})
    slots = Slots(RayConfig(max_concurrent=2), actors=())
    searcher = RunSearcher(Search(study, HYPERS, identify, ()), {}, Stop(), slots)
    tune_runs(tune.with_parameters(short_runs(), folder=tmp_path), searcher, tune.Callback())
    names = sorted(path.name for path in tmp_path.iterdir())
    assert [name.partition("-")[0] for name in names] == ["ran", "ran", "started", "started"]
