"""A thousand trials of an objective that costs nothing: does the search itself stay flat?"""

import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import optuna

from benchmarks.rows import Row
from distmerge.methods import HYPERS
from distmerge.spec import Pipeline, RayConfig, RunConfig, Study, digest
from distmerge.sweep.search.search import Search

FIRST, LAST = 100, 1000
"""The trials at which a sweep is looked at."""
WINDOW = 50
"""Trials up to a look that its pace is of: processes have started by then."""


class Look(NamedTuple):
    """How a sweep does after so many trials."""

    trials: int
    per_s: float
    """Trials per second, over the last ``WINDOW``."""
    memory_bytes: int
    """Resident memory of this process, the driver."""
    snapshot_s: float
    """Seconds that snapshots of the state took since the start; rows are written elsewhere."""


def search_pace(trials: int = LAST) -> Iterator[Row]:
    """Yield the seconds of a trial late in a sweep, against those early in the same sweep."""
    for name, looks in (("in process", _asked(trials)), ("Ray Tune", _tuned(trials))):
        first, last = looks
        note = (
            f"memory {last.memory_bytes / first.memory_bytes:.2f} of that at {first.trials} "
            f"trials, snapshots {last.snapshot_s:.1f} s in all"
        )
        yield Row(
            f"a trial of {last.trials}, {name}",
            1 / last.per_s,
            limit_s=1 / first.per_s,
            ours_peak_bytes=last.memory_bytes,
            note=note,
        )


def _asked(trials: int) -> list[Look]:
    """Ask and tell a search in this process; look at it twice."""
    search, clock = synthetic_search(trials), _Clock(trials)
    while (suggestion := search.ask()) is not None:
        search.tell(suggestion, synthetic_score(suggestion.config.values()))
        clock.tick()
    return clock.looks


def _tuned(trials: int) -> list[Look]:
    """The same trials in Ray Tune's loop, as a sweep on Ray runs them."""
    from distmerge.sweep.environment import set_ray_environment

    set_ray_environment()
    from distmerge.actors import cluster

    clock = _Clock(trials)
    with cluster():
        _tune(synthetic_search(trials), clock)
    return clock.looks


def synthetic_search(trials: int) -> Search:
    """Give a search over two hyperparameters."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = Study.model_validate(
        {
            "study": "synthetic",
            "models": {"zoo": "tiny"},
            "pipelines": [Pipeline(stages=("adamerging",), trials=trials)],
        }
    )
    return Search(study, HYPERS, _identify, ())


def synthetic_score(values: Mapping[str, Any]) -> float:
    """Give a score whose best point is a rate of 0.002 and a first coefficient of 0.25."""
    rate, init = (float(values[f"adamerging.{name}"]) for name in ("lr", "init"))
    return -((math.log10(rate) - math.log10(0.002)) ** 2) - (init - 0.25) ** 2


def _identify(config: RunConfig) -> str:
    return digest([config.name, sorted(config.values().items()), config.seed])


class _Clock:
    def __init__(self, trials: int) -> None:
        self.looks: list[Look] = []
        self.snapshot_s = 0.0
        self._ends, self._done, self._start = {FIRST, trials}, 0, time.perf_counter()

    def tick(self) -> None:
        """Count a trial; look where one is due."""
        self._done += 1
        if self._done in self._ends:
            per_s = WINDOW / (time.perf_counter() - self._start)
            self.looks.append(Look(self._done, per_s, _memory_bytes(), self.snapshot_s))
        if self._done + WINDOW in self._ends:
            self._start = time.perf_counter()


def _memory_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _tune(search: Search, clock: _Clock) -> None:
    from ray import tune
    from ray.tune.execution.tune_controller import TuneController

    from distmerge.sweep.signals import Stop
    from distmerge.sweep.slots import Slots
    from distmerge.sweep.tuning import RunSearcher, tune_runs

    class Instant(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
        def setup(self, config: dict[str, Any]) -> None:
            self._values = config["run"]["values"]

        def step(self) -> dict[str, Any]:
            score = synthetic_score(self._values)
            return {"score": score, "cost": 0.0, "rungs": (), "interrupted": False, "done": True}

        def reset_config(self, new_config: dict[str, Any]) -> bool:
            self._values = new_config["run"]["values"]
            return True

    class Count(tune.Callback):  # type: ignore[misc]  # Ray is untyped
        def on_trial_complete(self, **_info: Any) -> None:
            clock.tick()

        def __getstate__(self) -> dict[str, Any]:
            return {}

    save = TuneController.save_to_dir

    def timed(controller: Any) -> Any:
        start = time.perf_counter()
        found = save(controller)
        clock.snapshot_s += time.perf_counter() - start
        return found

    TuneController.save_to_dir = timed
    try:
        searcher = RunSearcher(search, {}, Stop(), Slots(RayConfig(), actors=()))
        tune_runs(Instant, searcher, Count())
    finally:
        TuneController.save_to_dir = save
