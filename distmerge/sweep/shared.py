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
    mapped_vectors,
    placed,
)
from distmerge.methods.contract import PRETRAINED, IndividualModels
from distmerge.run import Session
from distmerge.spec import RayConfig, Study
from distmerge.sweep.prepare import Prepared, Report
from distmerge.sweep.trial import Done, Recorder

RecorderActor = ray.remote(Recorder)


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
    recorder: Any


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
    arrays = {
        "base": ray.put(prepared.vectors.base.numpy()),
        "vectors": ray.put(prepared.vectors.vectors.numpy()),
    }
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
        yield Shared(
            prepared.study,
            config,
            prepared.source,
            prepared.digests,
            features=features,
            members=members,
            recorder=_start_recorder(prepared, config),
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
    bank = mapped_vectors(names, material.tower, base, vectors).to(target)
    features = FeatureBank(shared.features, config.timeout_s)
    models: IndividualModels = LocalModels(material, features)
    if shared.members:
        models = RayModels(features, shared.members, names, config.timeout_s)
    return Session(shared.study, material, bank, shared.digests, models)


def record_done(shared: Shared, done: Done) -> None:
    """Have a run recorded; it is stored when this returns.

    Raises:
        WorkerTimeoutError: the writer does not answer in time.
    """
    answer(shared.recorder.append.remote(done), shared.config.timeout_s, "the writer of results")


def _start_recorder(prepared: Prepared, config: RayConfig) -> Any:
    """Start the only writer on the driver's node, where a local results folder is."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = RecorderActor.options(
        num_cpus=0,
        max_restarts=config.max_restarts,
        max_task_retries=config.max_restarts,
        scheduling_strategy=here,
    )
    return options.remote(prepared.store, prepared.study.study)
