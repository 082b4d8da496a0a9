"""The sweep on Ray: task actors fill the feature bank, Ray Tune runs the trials."""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distmerge.actors import (
    FeatureBank,
    FeatureRefs,
    Member,
    Pool,
    RayModels,
    answer,
    cluster,
    num_actors,
    stored_features,
    streamed_features,
    trial_resources,
)
from distmerge.coordinator import (
    Digests,
    LocalModels,
    Source,
    checked_device,
    load_material,
    mapped_vectors,
    placed,
)
from distmerge.methods import HYPERS
from distmerge.methods.contract import PRETRAINED, IndividualModels
from distmerge.run import Session, named_record, references
from distmerge.spec import RayConfig, Study, run_config
from distmerge.sweep.board import Board, Ended
from distmerge.sweep.prepare import Prepared, Report, device_name, limit_threads
from distmerge.sweep.search import Search, Suggestion
from distmerge.sweep.trial import Done, Recorder, attempt, ended

RecorderActor = ray.remote(Recorder)


@dataclass(frozen=True)
class Shared:
    """What every trial gets: small values, and references to the large ones."""

    study: Study
    source: Source
    digests: Digests
    base: Any
    vectors: Any
    features: FeatureRefs
    members: tuple[Member, ...]
    recorder: Any


def sweep_on_ray(prepared: Prepared, board: Board, report: Report) -> None:
    """Run what the search asks for as Ray Tune trials.

    Raises:
        CapacityError: the cluster is too small.
        WorkerTimeoutError: a worker does not answer in time.
    """
    config = prepared.study.ray
    assert isinstance(config, RayConfig)
    with cluster() as total, ExitStack() as open_things:
        actors = num_actors(config, len(prepared.source.files.tasks) + 1, total)
        report(f"ray: {total.get('CPU', 0):g} CPUs, {total.get('GPU', 0):g} GPUs")
        shared = open_things.enter_context(_shared(prepared, config, actors, report))
        session = _session(shared, device="cpu")
        for record in references(session):
            _record(shared, Done(record, None))
        with board:
            _tune(prepared, session, shared, board, config)


class RunTrial(tune.Trainable):  # type: ignore[misc]  # Ray is untyped
    """A Tune trial: one process that does one run after the other, each from scratch."""

    def setup(self, config: dict[str, Any], shared: Shared) -> None:
        """Load tower, tasks and heads once; task vectors and features are mapped."""
        assert isinstance(shared.study.ray, RayConfig)
        limit_threads(shared.study.ray.trial_cpus)
        self._shared, self._config = shared, config
        self._session = _session(shared, device_name(shared.study.ray.trial_gpus))

    def step(self) -> dict[str, Any]:
        """Do the run, have it recorded, and give what the search needs."""
        asked = self._config["run"]
        pipeline = self._shared.study.pipelines[asked["pipeline"]]
        config = run_config(pipeline, asked["values"], self._shared.study.seed, HYPERS)
        done = attempt(self._session, config, self.trial_id)
        _record(self._shared, done)
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
            return Searcher.FINISHED
        self._running[trial_id] = suggestion
        return {"run": {"pipeline": suggestion.pipeline, "values": suggestion.config.values()}}

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

    def __init__(
        self, board: Board, running: dict[str, Suggestion], session: Session, shared: Shared
    ) -> None:
        self._board, self._running = board, running
        self._session, self._shared = session, shared

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        self._board.refresh()

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self._board.started(self._running[trial.trial_id])

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        result = trial.last_result
        values = Ended(*(result[field] for field in Ended._fields))
        self._board.ended(self._running[trial.trial_id], values)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        suggestion = self._running[trial.trial_id]
        config = suggestion.config
        record = replace(
            named_record(self._session, config.name, config.values()),
            trial_id=trial.trial_id,
            status="error",
            error=f"the trial's process was lost: {trial.get_error()}",
        )
        _record(self._shared, Done(record, None))
        self._board.ended(suggestion, ended(record))


@contextmanager
def _shared(prepared: Prepared, config: RayConfig, actors: int, report: Report) -> Iterator[Shared]:
    """Hold the feature bank, and the actors for as long as trials need their gradients."""
    keys = prepared.digests.keys
    refs = stored_features(keys, prepared.features)
    missing = tuple(key for key in keys if key not in refs)
    arrays = {
        "base": ray.put(prepared.vectors.base.numpy()),
        "vectors": ray.put(prepared.vectors.vectors.numpy()),
    }
    stays = config.gradient == "actors"
    models = [task.name for task in prepared.material.tasks] + [PRETRAINED]
    with ExitStack() as stack:
        members: tuple[Member, ...] = ()
        if missing or stays:
            pool = Pool(
                prepared.source, models, config, actors=actors, arrays=arrays if stays else None
            )
            stack.enter_context(pool)
            report(f"{len(pool.members)} actors pin {len(models)} models")
            refs |= streamed_features(
                pool, missing, prepared.features, config, block=prepared.study.block, report=report
            )
            members = pool.members
        if not stays:
            # Trials read the bank alone; the actors' cores are theirs now.
            stack.close()
            members = ()
        yield Shared(
            prepared.study,
            prepared.source,
            prepared.digests,
            features=refs,
            members=members,
            recorder=_start_recorder(prepared, config),
            **arrays,
        )


def _start_recorder(prepared: Prepared, config: RayConfig) -> Any:
    """Start the writer on the driver's node, where a local results folder is."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = RecorderActor.options(
        num_cpus=0,
        max_restarts=config.max_restarts,
        max_task_retries=config.max_restarts,
        scheduling_strategy=here,
    )
    return options.remote(prepared.store, prepared.study.study)


def _record(shared: Shared, done: Done) -> None:
    assert isinstance(shared.study.ray, RayConfig)
    answer(shared.recorder.append.remote(done), shared.study.ray.timeout_s, "the recorder")


def _session(shared: Shared, device: str) -> Session:
    config = shared.study.ray
    assert isinstance(config, RayConfig)
    target = checked_device(device)
    material = placed(load_material(shared.source), target)
    names = tuple(task.name for task in material.tasks)
    base, vectors = (
        answer(ref, config.timeout_s, "task vectors") for ref in (shared.base, shared.vectors)
    )
    bank = mapped_vectors(names, material.tower, base, vectors).to(target)
    features = FeatureBank(shared.features, config.timeout_s)
    models: IndividualModels = LocalModels(material, bank, features)
    if shared.members:
        models = RayModels(features, shared.members, names, config.timeout_s)
    return Session(shared.study, material, bank, shared.digests, models)


def _tune(
    prepared: Prepared, session: Session, shared: Shared, board: Board, config: RayConfig
) -> None:
    _quiet_tune()
    running: dict[str, Suggestion] = {}
    resources = {name.lower(): amount for name, amount in trial_resources(config).items()}
    with tempfile.TemporaryDirectory(prefix="distmerge-tune-") as folder:
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(RunTrial, shared=shared), resources),
            tune_config=tune.TuneConfig(
                search_alg=_Searcher(prepared.search, running),
                num_samples=prepared.search.remaining,
                max_concurrent_trials=config.max_concurrent,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                name=prepared.study.study,
                storage_path=folder,
                verbose=0,
                callbacks=[_Watch(board, running, session, shared)],
                failure_config=tune.FailureConfig(max_failures=1),
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            ),
        )
        tuner.fit()


def _quiet_tune() -> None:
    """Rows hold our results; Tune would complain that its own result files are missing."""
    logging.getLogger("ray.tune.analysis.experiment_analysis").setLevel(logging.ERROR)
