"""What all trials share: the feature bank that task actors fill, the task vectors, one writer."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distmerge.actors import (
    FeatureBank,
    FeatureRefs,
    Member,
    Pool,
    RayModels,
    Roster,
    answer,
    for_cluster,
    nodes,
    place_actors,
    restarted,
    stored_features,
    streamed_features,
)
from distmerge.coordinator import (
    Digests,
    LocalModels,
    Source,
    WorkerInfo,
    checked_device,
    load_material,
    placed,
)
from distmerge.errors import WorkerDiedError, WorkerTimeoutError
from distmerge.methods.contract import IndividualModels
from distmerge.run import Session
from distmerge.spec import RayConfig, RunConfig, Study
from distmerge.sweep.plan.footprint import study_load
from distmerge.sweep.prepare import Prepared, Report
from distmerge.sweep.progress.journal import Journal
from distmerge.sweep.progress.logs import note
from distmerge.sweep.progress.steps import Told
from distmerge.sweep.search.rungs import Seen, rungs_reader
from distmerge.sweep.search.unfinished import Unfinished
from distmerge.sweep.trial import Done, Recorder
from distmerge.taskvectors import BankArrays, mapped_vectors

_STOP = "stop"  # calls that do not wait behind writes
_CLOSE_S = 10.0


class _Recorder(Recorder):
    """Knows the task actors besides, for the trials that ask who is there."""

    _members: tuple[Member, ...] = ()

    def show(self, members: tuple[Member, ...]) -> None:
        """Take who is there."""
        self._members = members

    def members(self) -> tuple[Member, ...]:
        """Give who is there; none if it was not said since this process started."""
        return self._members


RecorderActor = ray.remote(concurrency_groups={_STOP: 1})(_Recorder)


@dataclass(frozen=True)
class Writer:
    """The recorder of the driver's node, asked from anywhere."""

    actor: Any
    timeout_s: float

    def append(self, done: Done) -> None:
        """Have a run recorded; it is stored when this returns.

        Raises:
            ResultsError: the storage cannot be written.
            WorkerTimeoutError: the recorder does not answer in time.
        """
        self._answer(self.actor.append.remote(done))

    def read_state(self, run_id: str) -> bytes:
        """Give what an unfinished run left; nothing if there is none."""
        content: bytes = self._answer(self.actor.read_state.remote(run_id))
        return content

    def write_state(self, run_id: str, content: bytes) -> None:
        """Keep an unfinished run's state, in place of an older one."""
        self._answer(self.actor.write_state.remote(run_id, content))

    def begin(self, run_id: str, config: RunConfig) -> Unfinished:
        """Note that a run is in progress; give what is known of it from earlier attempts."""
        known: Unfinished = self._answer(self.actor.begin.remote(run_id, config))
        return known

    def stays(self, run_id: str, seen: Seen) -> bool:
        """Keep a run's scores at rungs; give whether it goes on from the last one."""
        stays: bool = self._answer(self.actor.stays.remote(run_id, seen))
        return stays

    def tell(self, told: Told) -> bool:
        """Take where a run stands; give whether it is to save its state and end."""
        halted: bool = self._answer(self.actor.tell.options(concurrency_group=_STOP).remote(told))
        return halted

    def standings(self) -> Any:
        """Ask where the runs in progress stand; gives the reference to the answer."""
        return self.actor.standings.options(concurrency_group=_STOP).remote()

    def show(self, members: Sequence[Member]) -> None:
        """Say which task actors are there; nobody waits for an answer."""
        self.actor.show.options(concurrency_group=_STOP).remote(tuple(members))

    def members(self) -> Any:
        """Ask which task actors are there; gives the reference to the answer."""
        return self.actor.members.options(concurrency_group=_STOP).remote()

    def close(self) -> None:
        """Finish what is kept of runs in progress; one that does not answer has not finished."""
        with suppress(WorkerDiedError, WorkerTimeoutError):
            answer(self.actor.close.remote(), _CLOSE_S, "the writer of results")

    def halt(self) -> None:
        """Ask the runs in progress to save their state and end; nobody waits for an answer."""
        self.actor.halt.options(concurrency_group=_STOP).remote()

    def _answer(self, ref: Any) -> Any:
        return answer(ref, self.timeout_s, "the writer of results")


@dataclass(frozen=True)
class Shared:
    """What every trial gets: small values, and references to the large ones."""

    study: Study
    config: RayConfig
    source: Source
    digests: Digests
    base: Any
    vectors: Any
    features: FeatureRefs
    members: tuple[Member, ...]
    """The task actors at the start; the recorder knows who is there now."""
    recorder: Writer


@contextmanager
def shared_facts(prepared: Prepared, report: Report) -> Iterator[tuple[Shared, Pool | None]]:
    """Hold the full feature bank, and the actors for as long as trials need their gradients.

    Args:
        prepared: the study.
        report: takes one line of progress at a time.

    Raises:
        CapacityError: the cluster is too small.
        WorkerTimeoutError: features do not arrive in time.
    """
    assert isinstance(prepared.study.ray, RayConfig)
    config = for_cluster(prepared.study.ray, nodes())
    load = study_load(prepared.study, prepared.source, prepared.material.config, config)
    places = place_actors(config, load, nodes())
    keys = prepared.digests.keys
    features = stored_features(keys, prepared.features)
    missing = tuple(key for key in keys if key not in features)
    arrays = {name: ray.put(a) for name, a in prepared.vectors.arrays()._asdict().items()}
    stays = config.gradient == "actors"
    with ExitStack() as stack:
        pool: Pool | None = None
        if missing or stays:
            report(f"{len(places)} actors start, to load {len(load.models)} models")
            pool = Pool(prepared.source, load, config, arrays=arrays if stays else None)
            stack.enter_context(pool)
            report(f"{len(pool.members)} actors pin {len(load.models)} models")
            started, infos = tuple(pool.members), pool.infos()
            features |= streamed_features(
                pool, missing, prepared.features, config, block=prepared.study.block, report=report
            )
            _note_restarts(started, infos)
        if not stays:
            stack.close()  # trials read the bank alone; the actors' cores are theirs now
            pool = None
        recorder = _start_recorder(prepared, config)
        stack.callback(ray.kill, recorder)
        writer = Writer(recorder, config.timeout_s)
        stack.callback(writer.close)
        shared = Shared(
            prepared.study,
            config,
            prepared.source,
            prepared.digests,
            features=features,
            members=tuple(pool.members) if pool else (),
            recorder=writer,
            **arrays,
        )
        yield shared, pool


def open_session(shared: Shared, device: str) -> Session:
    """Give a session of this process over the shared bank and features.

    Raises:
        CapacityError: the device is not there.
        WorkerTimeoutError: the task vectors do not arrive in time.
    """
    config, target = shared.config, checked_device(device)
    material = placed(load_material(shared.source), target)
    names = tuple(task.name for task in material.tasks)
    base, vectors = (
        answer(ref, config.timeout_s, "task vectors") for ref in (shared.base, shared.vectors)
    )
    bank = mapped_vectors(names, material.tower.shapes, BankArrays(base, vectors)).to(target)
    features = FeatureBank(shared.features, config.timeout_s)
    models: IndividualModels = LocalModels(material, features)
    if shared.members:
        there = answer(shared.recorder.members(), config.timeout_s, "the writer of results")
        roster = Roster(there or shared.members, shared.recorder.members)
        models = RayModels(features, roster, names, config.timeout_s)
    return Session(shared.study, material, bank, shared.digests, models)


def _note_restarts(members: Sequence[Member], infos: list[WorkerInfo]) -> None:
    for info in restarted(members, infos):
        message = f"an actor was lost and came back with {', '.join(info.models)}"
        note("actor_restarted", message, pid=info.pid, device=info.device)


def _start_recorder(prepared: Prepared, config: RayConfig) -> Any:
    """Start the only writer on the driver's node, where a local results folder is."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = RecorderActor.options(
        num_cpus=0,
        max_restarts=config.max_restarts,
        max_task_retries=config.max_restarts,
        scheduling_strategy=here,
    )
    rungs = rungs_reader(prepared.store, prepared.study, prepared.digests)
    study, store = prepared.study, prepared.store
    journal = partial(Journal, store, study.study, tensorboard=study.tensorboard, logs=study.logs)
    return options.remote(store, study.study, rungs, journal)
