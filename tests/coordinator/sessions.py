"""Sessions on a tiny world: files loaded, facts computed, everything in this process."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache

from torch import Tensor

from distmerge.coordinator import (
    FeatureStore,
    LocalModels,
    Merging,
    Progress,
    Source,
    load_material,
    load_vectors,
    local_features,
    run_stages,
    source_digests,
)
from distmerge.methods import HYPERS
from distmerge.methods.contract import IndividualModels, MergedModel
from distmerge.run import Session
from distmerge.spec import ImageCounts, ModelFiles, Pipeline, RunConfig, Study, Value, run_config
from distmerge.taskvectors import TaskVectors

PIPELINE = Pipeline(stages=("weight_averaging",))


def source_of(files: ModelFiles) -> Source:
    return Source(files, ImageCounts(), transductive=False)


@cache
def session_of(files: ModelFiles) -> Session:
    """Give a session on ``files``; loaded once, since nothing may change it."""
    source = source_of(files)
    material = load_material(source)
    vectors = load_vectors(source, material.tower)
    digests = source_digests(source, material)
    store = FeatureStore(files.base.parent / "features")
    bank = local_features(source, digests.keys, store, block=16, report=ignored)
    study = Study(study="tiny", models=files, pipelines=(PIPELINE,))
    return Session(study, material, vectors, digests, LocalModels(material, bank))


def with_vectors(session: Session, vectors: TaskVectors) -> Session:
    """Give the session with another bank, in which the port knows the facts of the old one."""
    return replace(session, vectors=vectors)


def config_of(settings: Mapping[str, Value], *stages: str, seed: int = 0) -> RunConfig:
    return run_config(Pipeline(stages=stages), settings, seed, HYPERS)


def merged_by(
    session: Session,
    config: RunConfig,
    *,
    models: IndividualModels | None = None,
    observe: Callable[[Progress], None] | None = None,
) -> Merging:
    """Run the stages of ``config``, with another port if one is given."""
    port = models or session.models
    return run_stages(config, session.material, session.vectors, port, observe or ignored)


def tensors_of(model: MergedModel) -> dict[str, Tensor]:
    """Give everything that a method decided."""
    corrections = {
        f"{task}.{name}": tensor
        for task, correction in model.corrections.items()
        for name, tensor in correction.state().items()
    }
    return {"coefficients": model.coefficients, "weights": model.weights, **corrections}


def ignored(_progress: object) -> None:
    """Observe nothing."""
