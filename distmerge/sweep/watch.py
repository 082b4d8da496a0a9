"""What the driver sees of its trials on Ray: it shows, records and ends them."""

import math
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.exceptions import RayError, RayTaskError
from ray.util import placement_group_table

from distmerge.actors import RUNS_IN_PROGRESS, RUNS_WAITING, Pool, count_ended, trial_resources
from distmerge.errors import CapacityError, DistmergeError, ResultsError
from distmerge.run import Session, named_record
from distmerge.spec import RayConfig
from distmerge.sweep.advice import advice
from distmerge.sweep.progress.board import Board, Ended
from distmerge.sweep.progress.logs import note
from distmerge.sweep.progress.steps import TELL_S
from distmerge.sweep.search.search import Suggestion
from distmerge.sweep.shared import Shared
from distmerge.sweep.signals import Stop
from distmerge.sweep.trial import Done, ended

_HALT_S = 20.0  # how long runs may take to save their state when the driver stops
_GRACE_S = 10.0  # how much later than a run itself the driver ends one that takes too long


class DriverOnly:
    """Pickles as nothing: Tune snapshots what it is given, our state is the results dataset."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class Watch(DriverOnly, tune.Callback):  # type: ignore[misc]  # Ray is untyped
    """Shows trials on the board, records those that are lost, and ends what takes too long."""

    def __init__(
        self,
        board: Board,
        session: Session,
        shared: Shared,
        stop: Stop,
        pool: Pool | None = None,
    ) -> None:
        self._board, self._session, self._shared, self.stop = board, session, shared, stop
        self._pool = pool
        self.running: dict[str, Suggestion] = {}
        self.failure: BaseException | None = None
        """What the sweep ends with; Tune would wrap it."""
        self._since: dict[str, float] = {}
        self._late: set[str] = set()
        self._idle_since = time.monotonic()
        self._halted_at: float | None = None
        self._asked: Any = None
        self._asked_at = 0.0

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Look after the trials."""
        self._look_at_steps()
        self._board.refresh()
        running = [trial for trial in trials if trial.status == "RUNNING"]
        if self.stop.asked:
            self._halt(running, self.stop.asked)
        elif running:
            self._idle_since = time.monotonic()
            self._end_late(running)
        else:
            self._refuse_to_wait()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show a trial whose process is up."""
        self._since[trial.trial_id] = time.monotonic()
        self._board.started(self.running[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Show a trial that ended, well or with an error of its own."""
        result = trial.last_result
        if not result["interrupted"]:
            values = Ended(*(result[field] for field in Ended._fields))
            self._end(self.running[trial.trial_id], values, result["status"], result["gpu_s"])

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """End the sweep where a second try would only wait for the storage once more.

        Raises:
            RuntimeError: the storage failed; ``failure`` says how.
        """
        run_id = self.running[trial.trial_id].run_id
        message = f"run {run_id}: its process was lost, another goes on"
        note("run_recovered", message, run_id=run_id, trial=trial.trial_id)
        if trial.pickled_error_file:  # Tune has not put it yet where get_pickled_error looks
            content = Path(trial.pickled_error_file).read_bytes()
            self._end_with(cloudpickle.loads(content), ResultsError)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """Record a trial whose process was lost, as a run that failed.

        Raises:
            RuntimeError: the storage or a worker failed, not the run; ``failure`` says how.
        """
        suggestion = self.running[trial.trial_id]
        error = trial.get_pickled_error() or trial.get_error()
        self._end_with(error, DistmergeError)  # of the storage or a worker: no run is to blame
        reason = f"the trial's process was lost: {error}{advice(error)}"
        if trial.trial_id in self._late:
            limit_s = self._shared.study.trial_timeout_s
            reason = f"not done in {limit_s:g} s (trial_timeout_s): its process hung and was ended"
        now = time.monotonic()
        wall_s = now - self._since.get(trial.trial_id, now)
        record = replace(
            named_record(self._session, suggestion.config),
            trial_id=trial.trial_id,
            status="error",
            error=reason,
            wall_s=wall_s,
            gpu_s=wall_s if self._shared.config.trial_gpus else 0.0,
        )
        try:
            self._shared.recorder.append(Done(record, None))
        except DistmergeError as problem:
            self._fail(problem)
        self._end(suggestion, ended(record), record.status, record.gpu_s)

    def _end(self, suggestion: Suggestion, values: Ended, status: str, gpu_s: float) -> None:
        self._board.ended(suggestion, values)
        count_ended(suggestion.config.name, status, gpu_s)

    def _look_at_steps(self) -> None:
        """Show where the runs in progress stand, and who computes; no answer is waited for."""
        if time.monotonic() - self._asked_at < TELL_S:
            return
        if self._asked is not None and ray.wait([self._asked], timeout=0)[0]:
            with suppress(RayError):  # the writer is being started anew
                self._board.told(ray.get(self._asked))
            self._asked = None
        self._asked_at = time.monotonic()
        self._asked = self._asked or self._shared.recorder.standings()
        if self._pool:
            if self._pool.follow():
                self._board.say(self._pool.described)
                note("actors_changed", self._pool.described)
            self._shared.recorder.show(self._pool.members)  # each time: as with ``halt``
        RUNS_WAITING.set(self._board.waiting)
        RUNS_IN_PROGRESS.set(len(self._board.in_progress))

    def _end_with(self, error: object, kind: type[DistmergeError]) -> None:
        """End the sweep if a trial's error is of a kind that no run is to blame for."""
        if isinstance(error, RayTaskError) and isinstance(error.cause, kind):
            self._fail(error.cause)

    def _fail(self, failure: BaseException) -> None:
        """End the sweep with ``failure``.

        Raises:
            RuntimeError: always; Tune ends its trials and passes it on.
        """
        self.failure = failure
        raise RuntimeError(str(failure))

    def _halt(self, running: list[Any], kind: type[KeyboardInterrupt]) -> None:
        """Have runs save their state; end the sweep once they have, or after a while."""
        if self._halted_at is None:
            self._halted_at = time.monotonic()
        self._shared.recorder.halt()  # each time: one that was restarted has forgotten it
        if not running or time.monotonic() - self._halted_at > _HALT_S:
            self._fail(kind())

    def _end_late(self, running: list[Any]) -> None:
        """End the processes of runs that take too long and do not notice it themselves."""
        limit_s = self._shared.study.trial_timeout_s or math.inf
        for trial in running:
            late_s = time.monotonic() - self._since[trial.trial_id] - limit_s
            if late_s > _GRACE_S and trial.trial_id not in self._late:
                self._late.add(trial.trial_id)
                trial.max_failures = 0  # it is not tried again
                ray.kill(trial.temporary_state.ray_actor)

    def _refuse_to_wait(self) -> None:
        config = self._shared.config
        idle_s = time.monotonic() - self._idle_since
        limit_s = config.timeout_s if config.autoscaled else config.start_timeout_s
        if idle_s <= limit_s or (idle_s <= config.timeout_s and _is_starting(config)):
            return
        self._fail(
            CapacityError(
                f"no trial could start in {idle_s:.0f} s (ray.start_timeout_s); a trial asks for "
                f"{trial_resources(config)}; the cluster has {ray.cluster_resources()}, free now: "
                f"{ray.available_resources()}"
            )
        )


def _is_starting(config: RayConfig) -> bool:
    """Whether a trial has its resources, and its process takes its time to start."""
    return any(
        group["state"] == "CREATED" and group["bundles"] == {0: trial_resources(config)}
        for group in placement_group_table().values()
        if group["strategy"] == "PACK"  # Tune's; a pool's are STRICT_PACK
    )
