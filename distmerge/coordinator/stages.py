"""Run a pipeline's stages, each on the model that the one before gives."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.coordinator.optimise import Progress, optimise
from distmerge.coordinator.world import Material
from distmerge.errors import ConfigError
from distmerge.methods.contract import (
    IndividualModels,
    MergedModel,
    Model,
    Scope,
    implementation,
)
from distmerge.spec import RunConfig
from distmerge.tasks import Images, Role
from distmerge.taskvectors import TaskVectors

_BATCH = 128  # images per forward without gradients


class Merging(NamedTuple):
    """A finished model and the number of optimiser steps that it took."""

    model: Model
    steps: int


def run_stages(
    config: RunConfig,
    material: Material,
    vectors: TaskVectors,
    models: IndividualModels,
    observe: Callable[[Progress], None],
) -> Merging:
    """Give the model that the stages of ``config`` lead to, from the pretrained one.

    Raises:
        ConfigError: a stage follows a routed model, which is not one merge to build on.
        DivergenceError: an optimisation diverged.
    """
    model: Model = MergedModel.pretrained(material.tower, vectors, material.heads)
    scope = Scope(
        models=models,
        adapt={task.name: task.adapt for task in material.tasks},
        features=partial(_adapt_features, material),
        agreement=partial(_adapt_agreement, material, models),
        seed=config.seed,
    )
    steps = 0
    for stage in config.stages:
        if not isinstance(model, MergedModel):
            raise ConfigError(
                f"stages: {stage.method} follows a method whose model is routed, image by image; "
                f"expected one merged model; let {stage.method} follow another method"
            )
        plan = implementation(stage.method)(stage.hyper, model, scope)
        for problem in plan.problems:
            optimise(problem, observe)
            steps += problem.steps
        model = plan.result()
    return Merging(model, steps)


def model_features(
    material: Material, model: MergedModel, images: Images, task: str
) -> Float[Tensor, "image feature"]:
    """Give the tower's features of all images for a task, before any correction."""
    batches = _batches(material, images)
    return torch.cat([model.tower_features(batch, task) for batch in batches])


def model_logits(
    material: Material, model: Model, task: str, role: Role
) -> Float[Tensor, "image class"]:
    """Give the model's logits on all images of a role of a task, on the CPU."""
    batches = _batches(material, material.task(task).images(role))
    return torch.cat([model.logits(batch, task).cpu() for batch in batches])


def _batches(material: Material, images: Images) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    chunks = np.split(np.arange(len(images)), range(_BATCH, len(images), _BATCH))
    return (images.batch(chunk, material.config.preprocess) for chunk in chunks)


def _adapt_features(
    material: Material, model: MergedModel, task: str
) -> Float[Tensor, "image feature"]:
    return model_features(material, model, material.task(task).adapt, task)


def _adapt_agreement(
    material: Material, models: IndividualModels, model: Model, num_images: int
) -> float:
    """Give the share of the first adapt images on which merged and individual models agree."""
    shares = []
    for task in material.tasks:
        own = models.facts(task.name, task.name, "adapt").logits[:num_images].argmax(dim=1)
        images = task.adapt.batch(np.arange(len(own)), material.config.preprocess)
        logits = model.logits(images, task.name).cpu()
        shares.append((logits.argmax(dim=1) == own).float().mean().item())
    return sum(shares) / len(shares)
