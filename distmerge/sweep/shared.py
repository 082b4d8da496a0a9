"""What all trials share: the feature bank that task actors fill, the task vectors, one writer."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import ray
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from distmerge.actors import (
    FeatureBank,
    FeatureRefs,
    Member,
    Pool,
    RayModels,
    answer,
    num_actors,
    stored_features,
    streamed_features,
)
from distmerge.coordinator import (
    Digests,
    LocalModels,
    Source,
    checked_device,
    load_material,
    placed,
)
from distmerge.methods.contract import PRETRAINED, IndividualModels
from distmerge.run import Session
from distmerge.spec import RayConfig, RunConfig, Study
from distmerge.sweep.prepare import Prepared, Report
from distmerge.sweep.rungs import Seen, rungs_reader
from distmerge.sweep.trial import Done, Recorder
from distmerge.sweep.unfinished import Unfinished
from distmerge.taskvectors import BankArrays, mapped_vectors

_STOP = "stop"  # calls that do not wait behind writes
RecorderActor = ray.remote(concurrency_groups={_STOP: 1})(Recorder)


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

    def halt(self) -> None:
        """Ask the runs in progress to save their state and end; nobody waits for an answer."""
        self.actor.halt.options(concurrency_group=_STOP).remote()

    def is_halted(self) -> bool:
        """Whether that was asked."""
        asked = self.actor.is_halted.options(concurrency_group=_STOP).remote()
        halted: bool = self._answer(asked)
        return halted

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
    recorder: Writer


@contextmanager
def shared_facts(
    prepared: Prepared, total: Mapping[str, float], report: Report
) -> Iterator[Shared]:
    """Hold the full feature bank, and the actors for as long as trials need their gradients.

    Args:
        prepared: the study.
        total: the cluster's resources.
        report: takes one line of progress at a time.

    Raises:
        CapacityError: the cluster is too small.
        WorkerTimeoutError: features do not arrive in time.
    """
    config = prepared.study.ray
    assert isinstance(config, RayConfig)
    models = [task.name for task in prepared.source.files.tasks] + [PRETRAINED]
    actors = num_actors(config, len(models), total)
    keys = prepared.digests.keys
    features = stored_features(keys, prepared.features)
    missing = tuple(key for key in keys if key not in features)
    arrays = {name: ray.put(a) for name, a in prepared.vectors.arrays()._asdict().items()}
    stays = config.gradient == "actors"
    with ExitStack() as stack:
        members: tuple[Member, ...] = ()
        if missing or stays:
            pinned = arrays if stays else None
            pool = Pool(prepared.source, models, config, actors=actors, arrays=pinned)
            stack.enter_context(pool)
            report(f"{len(pool.members)} actors pin {len(models)} models")
            features |= streamed_features(
                pool, missing, prepared.features, config, block=prepared.study.block, report=report
            )
            members = pool.members
        if not stays:
            stack.close()  # trials read the bank alone; the actors' cores are theirs now
            members = ()
        recorder = _start_recorder(prepared, config)
        stack.callback(ray.kill, recorder)
        yield Shared(
            prepared.study,
            config,
            prepared.source,
            prepared.digests,
            features=features,
            members=members,
            recorder=Writer(recorder, config.timeout_s),
            **arrays,
        )


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
        models = RayModels(features, shared.members, names, config.timeout_s)
    return Session(shared.study, material, bank, shared.digests, models)


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
    return options.remote(prepared.store, prepared.study.study, rungs)
