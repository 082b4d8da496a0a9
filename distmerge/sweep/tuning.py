"""The sweep on Ray: Ray Tune runs the trials over what is shared."""

import logging
import tempfile
from typing import Any

import ray
from ray import tune
from ray.tune.execution.class_cache import ENV_VARS_TO_PROPAGATE
from ray.tune.search import Searcher

from distmerge.actors import (
    Pool,
    cluster,
    device_name,
    measure_study,
    step_timer,
    trial_resources,
)
from distmerge.run import references
from distmerge.sweep.gate import check_sanity
from distmerge.sweep.prepare import Prepared, Report, limit_threads
from distmerge.sweep.progress.board import Board
from distmerge.sweep.search.search import Search, Suggestion
from distmerge.sweep.search.unfinished import plain_run, run_of
from distmerge.sweep.shared import Shared, open_session, shared_facts
from distmerge.sweep.signals import Stop, asked_to_stop, terminable
from distmerge.sweep.slots import MOST, FreeForWaiting, Slots
from distmerge.sweep.trial import Done, attempt, ended
from distmerge.sweep.watch import DriverOnly, Watch


def sweep_on_ray(prepared: Prepared, board: Board, report: Report) -> None:
    """Run what the search asks for as Ray Tune trials.

    Raises:
        CapacityError: the cluster is too small.
        CheckpointError: a fine-tuned model is not better than the pretrained one.
        ResultsError: the storage cannot be read or written.
        WorkerTimeoutError: a worker does not answer in time.
    """
    with cluster(), terminable():  # here, since Ray has a SIGTERM handler of its own
        measure_study(prepared.study.study)
        total = ray.cluster_resources()
        report(f"ray: {total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs")
        with shared_facts(prepared, report) as (shared, pool), board:
            session = open_session(shared, device="cpu")
            check_sanity(session, report)
            done = prepared.store.finished(prepared.study.study)["run_id"]
            for record in references(session, set(done)):
                shared.recorder.append(Done(record, None))
            with asked_to_stop() as stop:
                _tune(prepared.search, Watch(board, session, shared, stop, pool), shared, pool)
            for line in prepared.search.gaps():
                report(line)


class RunTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """A Tune trial: one process that does one run after the other, each from scratch."""

    def setup(self, config: dict[str, Any], shared: Shared) -> None:
        """Load tower, tasks and heads once; task vectors and features are mapped."""
        measure_study(shared.study.study)
        limit_threads(shared.config.trial_cpus)
        self._shared, self._config = shared, config
        self._session = open_session(shared, device_name(shared.config, shared.config.trial_gpus))

    def step(self) -> dict[str, Any]:
        """Do the run, have it recorded, and give what the search needs."""
        config = run_of(self._config["run"])
        recorder = self._shared.recorder
        observe = step_timer(config.name)
        try:
            done = attempt(self._session, config, self.trial_id, observe, recorder)
        except KeyboardInterrupt:
            return {"interrupted": True, "done": True}
        recorder.append(done)
        told = {name: getattr(done.record, name) for name in ("status", "gpu_s")}
        return {**ended(done.record)._asdict(), **told, "interrupted": False, "done": True}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next run into this process; nothing of the last one is kept."""
        self._config = new_config
        return True


class RunSearcher(DriverOnly, Searcher):  # type: ignore[misc]  # Ray is untyped
    """Tune's view of our search."""

    def __init__(
        self,
        search: Search,
        running: dict[str, Suggestion],
        stop: Stop,
        slots: Slots,
    ) -> None:
        super().__init__()
        self._search, self._running, self._stop, self.slots = search, running, stop, slots
        self._open: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        """Give a trial its run; None if there is none for now."""
        if self._stop.asked:
            return Searcher.FINISHED
        if len(self._open) >= self.slots.wanted:
            return None
        suggestion = self._search.ask()
        if suggestion is None:
            return None if self._search.remaining else Searcher.FINISHED  # None: ask again later
        self._running[trial_id] = suggestion
        self._open.add(trial_id)
        return {"run": plain_run(suggestion.config)}

    def on_trial_complete(
        self,
        trial_id: str,
        result: dict[str, Any] | None = None,
        error: bool = False,  # noqa: FBT001, FBT002  # Ray's signature
    ) -> None:
        """Tell the search how a run ended."""
        self._open.discard(trial_id)
        suggestion = self._running[trial_id]
        if error or result is None or result.get("interrupted", True):
            self._search.tell(suggestion, None)
        else:
            self._search.tell(suggestion, result["score"], result["cost"], dict(result["rungs"]))

    @property
    def remaining(self) -> int:
        """How many runs it may still suggest."""
        return self._search.remaining

    def save(self, checkpoint_path: str) -> None:
        """Save nothing: the state of the search is the results dataset."""
        with open(checkpoint_path, "wb"):  # noqa: PTH123  # Ray renames this file, so it must exist
            pass

    def restore(self, checkpoint_path: str) -> None:
        """Refuse: a sweep that is started again starts Tune anew.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError


def _tune(search: Search, watch: Watch, shared: Shared, pool: Pool | None) -> None:
    trainable = tune.with_parameters(RunTrial, shared=shared)
    try:
        slots = Slots(shared.config, pool.members if pool else ())
        tune_runs(trainable, RunSearcher(search, watch.running, watch.stop, slots), watch)
    except Exception:
        if watch.failure is not None:
            raise watch.failure from None
        raise
    if watch.stop.asked:
        raise watch.stop.asked


def tune_runs(trainable: Any, searcher: RunSearcher, callback: tune.Callback) -> None:
    """Have Tune run all that the searcher suggests; Tune's own files are thrown away."""
    _quiet_tune()
    _keep_keys_here()
    resources = {name.lower(): n for name, n in trial_resources(searcher.slots.config).items()}
    with tempfile.TemporaryDirectory(prefix="distmerge-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(trainable, resources),
            tune_config=tune.TuneConfig(
                search_alg=searcher,
                num_samples=searcher.remaining,
                scheduler=FreeForWaiting(searcher.slots),
                max_concurrent_trials=MOST,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name="sweep",
                storage_path=folder,
                verbose=0,
                callbacks=[callback],
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _quiet_tune() -> None:
    """Rows hold our results; Tune would miss its own result files, and advise to resume them.

    What a trial fails with is in its row, or what the sweep ends with.
    """
    for name in ("ray.tune.analysis.experiment_analysis", "ray.tune.tune"):
        logging.getLogger(name).setLevel(logging.ERROR)
    logging.getLogger("ray.tune.execution.tune_controller").setLevel(logging.CRITICAL)


def _keep_keys_here() -> None:
    """Tune would put AWS keys of this process into the runtime_env of trials, which Ray logs."""
    ENV_VARS_TO_PROPAGATE.difference_update([n for n in ENV_VARS_TO_PROPAGATE if "AWS" in n])
