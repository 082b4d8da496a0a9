"""Sessions on a tiny world: files loaded, facts computed, everything in this process."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from torch import Tensor

from distmerge.coordinator import (
    Checkpoint,
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
from distmerge.methods.contract import IndividualModels, MergedModel, Model
from distmerge.run import Session
from distmerge.spec import ImageCounts, ModelFiles, Pipeline, RunConfig, Study, Value, run_config
from distmerge.tasks import Role
from distmerge.taskvectors import TaskVectors

PIPELINE = Pipeline(stages=("weight_averaging",))


def source_of(files: ModelFiles) -> Source:
    cache = files.base.parent / "images"
    return Source(files, ImageCounts(), transductive=False, cache=cache)


@cache
def session_of(files: ModelFiles, *crossed: Role) -> Session:
    """Give a session on ``files``; loaded once, since nothing may change it.

    Of the roles ``crossed`` it knows what every task's model says about every task's images.
    """
    source = source_of(files)
    material = load_material(source)
    vectors = load_vectors(source, material.tower)
    digests = source_digests(source, material, crossed)
    store = FeatureStore(files.base.parent / "features")
    bank = local_features(source, material, digests.keys, store, block=16, report=ignored)
    study = Study(study="tiny", models=files, pipelines=(PIPELINE,))
    return Session(study, material, vectors, digests, LocalModels(material, bank))


def with_vectors(session: Session, vectors: TaskVectors) -> Session:
    """Give the session with another bank, in which the port knows the facts of the old one."""
    return replace(session, vectors=vectors)


def config_of(settings: Mapping[str, Value], *stages: str, seed: int = 0) -> RunConfig:
    return run_config(Pipeline(stages=stages), settings, seed, HYPERS)


class Merged(NamedTuple):
    """A finished model that is one tower, and the number of optimiser steps that it took."""

    model: MergedModel
    steps: int


def learned_by(
    session: Session,
    config: RunConfig,
    *,
    models: IndividualModels | None = None,
    observe: Callable[[Progress], None] | None = None,
    checkpoint: Checkpoint | None = None,
) -> Merging:
    """Run the stages of ``config``, with another port if one is given."""
    port, look = models or session.models, observe or ignored
    return run_stages(config, session.material, session.vectors, port, look, checkpoint)


def merged_by(
    session: Session,
    config: RunConfig,
    *,
    models: IndividualModels | None = None,
    observe: Callable[[Progress], None] | None = None,
) -> Merged:
    """Do as ``learned_by`` for stages that do not end in a routed model."""
    merging = learned_by(session, config, models=models, observe=observe)
    assert isinstance(merging.model, MergedModel)
    return Merged(merging.model, merging.steps)


def tensors_of(model: Model) -> dict[str, Tensor]:
    """Give everything that a method decided, and what one merged tower comes to."""
    weights = {"weights": model.weights} if isinstance(model, MergedModel) else {}
    return {**model.state(), **weights}


def ignored(_progress: object) -> None:
    """Observe nothing."""
