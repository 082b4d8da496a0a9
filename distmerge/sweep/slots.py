"""How many runs Tune is given, and which of them takes a process that is free."""

from collections.abc import Sized
from typing import Any, NamedTuple

import ray
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from distmerge.actors import num_trials
from distmerge.spec import RayConfig

MOST = 10_000  # processes that Tune may start at the same time; left alone, one after the other


class Slots(NamedTuple):
    """The room for a study's trials, in a cluster that may grow and shrink."""

    config: RayConfig
    actors: Sized
    """Task actors that stay beside the trials; they may become more or fewer."""

    @property
    def room(self) -> int:
        """How many trials can run at a time now."""
        fitting = num_trials(self.config, len(self.actors), ray.cluster_resources())
        return min(fitting, self.config.max_concurrent or fitting)

    @property
    def wanted(self) -> int:
        """How many runs Tune should have: as many as the study says, or those that fit and one.

        The one more waits for room; so an autoscaler knows that another node would be of use.
        """
        return self.config.max_concurrent or 1 + self.room


class FreeForWaiting(FIFOScheduler):  # type: ignore[misc]  # Ray is untyped
    """Gives a free process to the first run that has none, and none that is on its way.

    Tune's own rule gives it to the first run that has not begun. That one's process is starting;
    Tune throws it away and starts another for the next run. With runs that are shorter than the
    start of a process a sweep would never get beyond one.
    """

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self._slots = slots
        self._asked: list[str] = []  # trials that wait for a process, as Tune asked for these

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Give the run for a free process; None: Tune gives it to a run that is new."""
        trials = tune_controller.get_live_trials()
        waiting = {trial.trial_id: trial for trial in trials if trial.status == Trial.PENDING}
        asked = [trial_id for trial_id in self._asked if trial_id in waiting]
        self._asked = list(dict.fromkeys([*asked, *waiting]))
        if not asked:
            return None
        running = sum(trial.status == Trial.RUNNING for trial in trials)
        starting = max(0, self._slots.room - running - 1)  # without the one that is free
        return waiting[asked[starting]] if starting < len(asked) else None
