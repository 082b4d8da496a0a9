"""The sweep on Ray: Ray Tune runs the trials over what is shared."""

import logging
import tempfile
import time
from dataclasses import replace
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from distmerge.actors import cluster, trial_resources
from distmerge.errors import CapacityError
from distmerge.methods import HYPERS
from distmerge.run import Session, named_record, references
from distmerge.spec import run_config
from distmerge.sweep.board import Board, Ended
from distmerge.sweep.gate import check_sanity
from distmerge.sweep.prepare import Prepared, Report, device_name, limit_threads
from distmerge.sweep.search import Search, Suggestion
from distmerge.sweep.shared import Shared, open_session, record_done, shared_facts
from distmerge.sweep.trial import Done, attempt, ended


def sweep_on_ray(prepared: Prepared, board: Board, report: Report) -> None:
    """Run what the search asks for as Ray Tune trials.

    Raises:
        CapacityError: the cluster is too small.
        CheckpointError: a fine-tuned model is not better than the pretrained one.
        WorkerTimeoutError: a worker does not answer in time.
    """
    with cluster() as total:
        report(f"ray: {total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs")
        with shared_facts(prepared, total, report) as shared, board:
            session = open_session(shared, device="cpu")
            check_sanity(session, report)
            for record in references(session):
                record_done(shared, Done(record, None))
            _tune(prepared.search, _Watch(board, session, shared), shared)


class RunTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """A Tune trial: one process that does one run after the other, each from scratch."""

    def setup(self, config: dict[str, Any], shared: Shared) -> None:
        """Load tower, tasks and heads once; task vectors and features are mapped."""
        limit_threads(shared.config.trial_cpus)
        self._shared, self._config = shared, config
        self._session = open_session(shared, device_name(shared.config.trial_gpus))

    def step(self) -> dict[str, Any]:
        """Do the run, have it recorded, and give what the search needs."""
        asked = self._config["run"]
        pipeline = self._shared.study.pipelines[asked["pipeline"]]
        config = run_config(pipeline, asked["values"], asked["seed"], HYPERS)
        done = attempt(self._session, config, self.trial_id)
        record_done(self._shared, done)
        return {**ended(done.record)._asdict(), "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next run into this process; nothing of the last one is kept."""
        self._config = new_config
        return True


class _DriverOnly:
    """Pickles as nothing: Tune snapshots what it is given, our state is the results dataset."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class _Searcher(_DriverOnly, Searcher):  # type: ignore[misc]  # Ray is untyped
    """Tune's view of our search."""

    def __init__(self, search: Search, running: dict[str, Suggestion]) -> None:
        super().__init__()
        self._search, self._running = search, running

    def suggest(self, trial_id: str) -> Any:
        suggestion = self._search.ask()
        if suggestion is None:
            return None if self._search.remaining else Searcher.FINISHED  # None: ask again later
        self._running[trial_id] = suggestion
        config = suggestion.config
        asked = {"pipeline": suggestion.pipeline, "values": config.values(), "seed": config.seed}
        return {"run": asked}

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002  # Ray's signature
    ) -> None:
        score = None if error or result is None else result.get("score")
        self._search.tell(self._running[trial_id], score)

    def save(self, checkpoint_path: str) -> None:
        with open(checkpoint_path, "wb"):  # noqa: PTH123  # Ray renames this file, so it must exist
            pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError


class _Watch(_DriverOnly, tune.Callback):  # type: ignore[misc]  # Ray is untyped
    """Shows trials on the board, and records those whose process was lost."""

    def __init__(self, board: Board, session: Session, shared: Shared) -> None:
        self._board, self._session, self._shared = board, session, shared
        self.running: dict[str, Suggestion] = {}
        self.failure: CapacityError | None = None
        self._idle_since = time.monotonic()

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._board.refresh()
        timeout_s = self._shared.config.timeout_s
        if any(trial.status == "RUNNING" for trial in trials):
            self._idle_since = time.monotonic()
        elif time.monotonic() - self._idle_since > timeout_s:
            asks = trial_resources(self._shared.config)
            self.failure = CapacityError(
                f"no trial could start in {timeout_s:g} s (ray.timeout_s); a trial asks for "
                f"{asks}; free now: {ray.available_resources()}"
            )
            raise self.failure

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._board.started(self.running[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        result = trial.last_result
        values = Ended(*(result[field] for field in Ended._fields))
        self._board.ended(self.running[trial.trial_id], values)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        suggestion = self.running[trial.trial_id]
        record = replace(
            named_record(self._session, suggestion.config),
            trial_id=trial.trial_id,
            status="error",
            error=f"the trial's process was lost: {trial.get_error()}",
        )
        record_done(self._shared, Done(record, None))
        self._board.ended(suggestion, ended(record))


def _tune(search: Search, watch: _Watch, shared: Shared) -> None:
    _quiet_tune()
    resources = {name.lower(): n for name, n in trial_resources(shared.config).items()}
    with tempfile.TemporaryDirectory(prefix="distmerge-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(RunTrial, shared=shared), resources),
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(search, watch.running),
                num_samples=search.remaining,
                max_concurrent_trials=shared.config.max_concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=shared.study.study,
                storage_path=folder,
                verbose=0,
                callbacks=[watch],
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        try:
            tuner.fit()
        except Exception:
            if watch.failure is not None:
                raise watch.failure from None
            raise
    if search.unfinished:  # Tune returns as usual when it is interrupted
        raise KeyboardInterrupt


def _quiet_tune() -> None:
    """Rows hold our results; Tune would miss its own result files, and advise to resume them."""
    for name in ("ray.tune.analysis.experiment_analysis", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
