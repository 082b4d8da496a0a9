"""Run a pipeline's stages, each on the model that the one before gives."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.coordinator.checkpoint import Checkpoint
from distmerge.coordinator.monitor import Healths, health, health_metrics, mean_agreement
from distmerge.coordinator.optimise import Progress
from distmerge.coordinator.trace import Trace, traced
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
from distmerge.results import ADAPT, MEAN, Metric
from distmerge.spec import RunConfig
from distmerge.tasks import ModelInput, Role, Samples
from distmerge.taskvectors import TaskVectors

_BATCH = 128  # images per forward without gradients
BANK_ERROR = "bank_error"  # metric: the relative error of a task's vector as it is used
IMAGES_DRAWN = "images_drawn"  # metric: adapt images that the optimiser of a run drew


class Merging(NamedTuple):
    """A finished model, the optimiser steps that it took, and what was seen on the way."""

    model: Model
    steps: int
    metrics: tuple[Metric, ...]
    """Of the suite ``adapt``; empty where no stage learns."""
    traces: tuple[Trace, ...] = ()
    """How every problem was solved, in order."""


def run_stages(
    config: RunConfig,
    material: Material,
    vectors: TaskVectors,
    models: IndividualModels,
    observe: Callable[[Progress], None],
    checkpoint: Checkpoint | None = None,
) -> Merging:
    """Give the model that the stages of ``config`` lead to, from the pretrained one.

    Problems that ``checkpoint`` knows to be solved are not solved again, in whichever stage.

    Raises:
        CheckpointError: the state in ``checkpoint`` is not one of this run.
        ConfigError: a stage follows a routed model, which is not one merge to build on.
        DivergenceError: an optimisation diverged.
        ResultsError: the state cannot be saved.
    """
    base = MergedModel.pretrained(material.tower, vectors, material.heads)
    model: Model = base
    scope = Scope(
        models=models,
        adapt={task.name: task.adapt for task in material.tasks},
        features=partial(_adapt_features, material),
        agreement=lambda model, count: mean_agreement(_look(material, models, model, count)),
        seed=config.seed,
        precision=material.precision,
    )
    look = partial(_look, material, models, num_images=_check_images(config))
    start: Healths = {}
    traces: list[Trace] = []
    steps = kept = images = 0
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
            solved, trace = traced(problem, observe, checkpoint, steps)
            traces.append(trace)
            steps += solved.steps
            kept += solved.kept
            images += solved.steps * problem.images
        model = plan.result()
    if not start:
        return Merging(model, steps, ())
    averaging = _averaged(base, scope)
    seen = health_metrics(start, look(model), look(averaging), kept)
    drawn = Metric(ADAPT, MEAN, IMAGES_DRAWN, float(images))
    return Merging(model, steps, (*seen, drawn, *_bank_errors(model)), tuple(traces))


def _bank_errors(model: Model) -> Iterator[Metric]:
    """Yield what each task's vector lost to factors of low rank; nothing where none is used."""
    lost = model.bank_error if isinstance(model, Routed) else {}
    yield from (Metric(ADAPT, task, BANK_ERROR, value) for task, value in lost.items())
    if lost:
        yield Metric(ADAPT, MEAN, BANK_ERROR, sum(lost.values()) / len(lost))


def model_features(
    material: Material, model: MergedModel, images: Samples, task: str
) -> Float[Tensor, "sample feature"]:
    """Give the tower's features of all images for a task, before any correction."""
    batches = input_batches(material, images)
    return torch.cat([model.tower_features(batch, task) for batch in batches])


def model_logits(
    material: Material, model: Model, task: str, role: Role
) -> Float[Tensor, "sample class"]:
    """Give the model's logits on all images of a role of a task, on the CPU."""
    batches = input_batches(material, material.task(task).samples(role))
    return torch.cat([model.logits(batch, task).cpu() for batch in batches])


def model_answers(material: Material, model: Routed, task: str, role: Role) -> Answers:
    """Give a routed model's answers on all images of a role of a task, on the CPU."""
    batches = input_batches(material, material.task(task).samples(role))
    parts = zip(*(model.answers(batch) for batch in batches), strict=True)
    return Answers(*(torch.cat(part).cpu() for part in parts))


def input_batches(
    material: Material, images: Samples, num_images: int | None = None
) -> Iterator[ModelInput]:
    """Give samples as the tower reads them, so many at a time as are measured at once."""
    return images.batches(_BATCH, material.config.preprocess, first=num_images)


def _adapt_features(
    material: Material, model: MergedModel, task: str
) -> Float[Tensor, "sample feature"]:
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
        batches = input_batches(material, task.adapt, num_images)
        logits = torch.cat([model.logits(batch, task.name).cpu() for batch in batches])
        own = models.facts(task.name, task.name, "adapt").logits[: len(logits)]
        found[task.name] = health(logits, own)
    return found
