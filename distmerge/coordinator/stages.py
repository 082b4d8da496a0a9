"""Run a pipeline's stages, each on the model that the one before gives."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.coordinator.monitor import Healths, health, health_metrics, mean_agreement
from distmerge.coordinator.optimise import Progress, optimise
from distmerge.coordinator.world import Material
from distmerge.errors import ConfigError
from distmerge.methods import HYPERS, Checked
from distmerge.methods.contract import (
    Answers,
    IndividualModels,
    MergedModel,
    Model,
    Routed,
    Scope,
    implementation,
)
from distmerge.results import Metric
from distmerge.spec import RunConfig
from distmerge.tasks import Images, Role
from distmerge.taskvectors import TaskVectors

_BATCH = 128  # images per forward without gradients


class Merging(NamedTuple):
    """A finished model, the optimiser steps that it took, and what was seen on the way."""

    model: Model
    steps: int
    metrics: tuple[Metric, ...]
    """Of the suite ``adapt``; empty where no stage learns."""


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
    base = MergedModel.pretrained(material.tower, vectors, material.heads)
    model: Model = base
    scope = Scope(
        models=models,
        adapt={task.name: task.adapt for task in material.tasks},
        features=partial(_adapt_features, material),
        agreement=lambda model, count: mean_agreement(_look(material, models, model, count)),
        seed=config.seed,
    )
    look = partial(_look, material, models, num_images=_check_images(config))
    start: Healths = {}
    steps = kept = 0
    for stage in config.stages:
        if not isinstance(model, MergedModel):
            raise ConfigError(
                f"stages: {stage.method} follows a method whose model is routed, image by image; "
                f"expected one merged model; let {stage.method} follow another method"
            )
        plan = implementation(stage.method)(stage.hyper, model, scope)
        if plan.problems and not start:
            start = look(plan.result())
        for problem in plan.problems:
            solved = optimise(problem, observe)
            steps += solved.steps
            kept += solved.kept
        model = plan.result()
    if not start:
        return Merging(model, steps, ())
    averaging = _averaged(base, scope)
    return Merging(model, steps, health_metrics(start, look(model), look(averaging), kept))


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


def model_answers(material: Material, model: Routed, task: str, role: Role) -> Answers:
    """Give a routed model's answers on all images of a role of a task, on the CPU."""
    batches = _batches(material, material.task(task).images(role))
    parts = zip(*(model.answers(batch) for batch in batches), strict=True)
    return Answers(*(torch.cat(part).cpu() for part in parts))


def _batches(
    material: Material, images: Images, num_images: int | None = None
) -> Iterator[Float[Tensor, "batch 3 size size"]]:
    return images.batches(_BATCH, material.config.preprocess, first=num_images)


def _adapt_features(
    material: Material, model: MergedModel, task: str
) -> Float[Tensor, "image feature"]:
    return model_features(material, model, material.task(task).adapt, task)


def _check_images(config: RunConfig) -> int:
    """Give how many adapt images per task a run is watched on: the most that a stage asks for."""
    asked = [s.hyper.check_images for s in config.stages if isinstance(s.hyper, Checked)]
    return max(asked, default=0)


def _averaged(base: MergedModel, scope: Scope) -> Model:
    """Give what a method that learns should not fall behind."""
    name = "weight_averaging"
    return implementation(name)(HYPERS[name](), base, scope).result()


def _look(material: Material, models: IndividualModels, model: Model, num_images: int) -> Healths:
    """Give what the model's predictions on the first adapt images of every task look like."""
    found = {}
    for task in material.tasks:
        batches = _batches(material, task.adapt, num_images)
        logits = torch.cat([model.logits(batch, task.name).cpu() for batch in batches])
        own = models.facts(task.name, task.name, "adapt").logits[: len(logits)]
        found[task.name] = health(logits, own)
    return found
