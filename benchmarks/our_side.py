"""Our side of a comparison with fusion_bench: a step of AdaMerging, TIES, and a routed forward."""

import math
from dataclasses import replace
from functools import cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from benchmarks.step_world import (
    DENSITY,
    INIT,
    LR,
    NUM_IMAGES,
    SAMPLED,
    SCALING,
    World,
    material,
    routed_images,
)
from benchmarks.towers import random_bank
from distmerge.coordinator import BlockFacts, FeatureBlock, FeatureKey, LocalModels, optimise
from distmerge.methods.adamerging import AdaMerging
from distmerge.methods.bd_merging.model import budget_bytes, routed_weights
from distmerge.methods.contract import MergedModel, Problem, Scope, implementation
from distmerge.methods.losses import softmax_entropy
from distmerge.models import routed_features
from distmerge.spec import Precision
from distmerge.taskvectors import Selection, merge, selected


def step(
    world: World, batch_size: int, precision: Precision = "float32"
) -> Float[Tensor, "task segment"]:
    """Do one step of an adaptation, as a run does it; give the gradient by coefficients."""
    problem = _problem(world, batch_size, precision)
    optimise(problem, lambda _progress: None)
    gradient = problem.parameters[0].grad
    assert gradient is not None
    return gradient


def entropy_share(world: World, batch_size: int) -> float:
    """Give the mean entropy of the predictions of ``step``, over its maximum."""
    model = _model(world)
    merged = model.merged(torch.full_like(model.coefficients, INIT))
    shares = []
    for task in material(world).tasks:
        images = next(task.adapt.batches(batch_size, world.config.preprocess))
        logits = merged.logits(images, task.name)
        shares.append(softmax_entropy(logits).mean().item() / math.log(logits.shape[-1]))
    return sum(shares) / len(shares)


def ties(world: World) -> Float[Tensor, " parameter"]:
    """Give some of the weights merged by TIES."""
    thinned = selected(_model(world).vectors, Selection(DENSITY, "sum", "reference"))
    coefficients = SCALING * torch.ones_like(_model(world).coefficients)
    return merge(thinned, coefficients)[::SAMPLED].clone()


def routed(world: World) -> Float[Tensor, "image feature"]:
    """Give the features of images that have weights of their own."""
    weights = routed_weights(_model(world).vectors, "global")
    images, routing = routed_images(world)
    budget = budget_bytes(0, torch.device("cpu"))
    with torch.inference_mode():
        return routed_features(
            world.config, weights, routing[..., None], images, budget_bytes=budget
        )


@cache
def _model(world: World) -> MergedModel:
    known = material(world)
    bank = random_bank(world.config, world.num_tasks, world.dtype)
    return MergedModel.pretrained(known.tower, bank, known.heads)


@cache
def _models(world: World, precision: Precision) -> LocalModels:
    known = replace(material(world), precision=precision)
    return LocalModels(known, {FeatureKey(t, t, "adapt", t): _unknown() for t in world.tasks})


@cache
def _problem(world: World, batch_size: int, precision: Precision) -> Problem:
    models = _models(world, precision)
    adapt = {task.name: task.adapt for task in models.material.tasks}
    scope = Scope(models, adapt, _no_features, _no_agreement, 0, precision)
    hyper = AdaMerging(init=INIT, lr=LR, batch_size=batch_size, batches=1, projection="none")
    plan = implementation("adamerging")(hyper, _model(world), scope)
    return replace(plan.problems[0], steps=1)


def _unknown() -> BlockFacts:
    """Give what an individual model says about images; an entropy asks for none of it."""
    nothing = np.zeros((NUM_IMAGES, 1), dtype=np.float32)
    return BlockFacts([FeatureBlock(nothing[:, None], nothing, nothing, nothing[:, 0])])


def _no_features(_model: MergedModel, task: str) -> Tensor:
    raise NotImplementedError(f"{task}: AdaMerging asks for no features")


def _no_agreement(_model: object, images: int) -> float:
    raise NotImplementedError(f"{images} images: nothing is checked")
