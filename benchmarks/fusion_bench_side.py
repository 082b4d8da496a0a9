"""fusion_bench's side of a comparison, in a process that has its packages.

Tower, heads and images are those of our side: the tower is open_clip's module on both, as
fusion_bench's own come from Hugging Face. A step is one of its ``test_time_adaptation``, with its
``LayerWiseMergedModel``, its ``entropy_loss`` and its settings for CLIP; its progress bar, logger
and profiler are left out.
"""

import sys
from contextlib import redirect_stdout
from functools import cache
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from benchmarks.step_world import (
    DENSITY,
    INIT,
    LR,
    SAMPLED,
    SCALING,
    World,
    material,
    routed_images,
)
from benchmarks.towers import random_bank, random_base, random_vector
from distmerge.coordinator import Material
from distmerge.models.architecture import skeleton
from distmerge.tasks import batch_indices
from distmerge.taskvectors import TaskVectors


class VisualTower(nn.Module):
    """A tower that holds its weights and gives features."""

    def __init__(self, world: World, weights: Float[Tensor, " parameter"]) -> None:
        super().__init__()
        self.tower = skeleton(world.config)
        named = world.layout.unflatten(weights)
        prefix = self.tower.PREFIX
        self.tower.load_state_dict({prefix + k: v for k, v in named.items()}, assign=True)

    def forward(self, images: Tensor) -> Tensor:
        """Give the features, not normalised."""
        features: Tensor = self.tower(images, layers=False)
        return features


class _Adaptation(NamedTuple):
    material: Material
    module: Any  # a LayerWiseMergedModel
    optimizer: torch.optim.Optimizer
    order: tuple[int, ...]
    """Columns of its coefficients in the order of our segments."""


def step(world: World, batch_size: int) -> Float[Tensor, "task segment"]:
    """Do a step as its loop does it; give the gradient by coefficients."""
    from fusion_bench.method.adamerging.entropy_loss import entropy_loss

    known, module, optimizer, order = _adaptation(world)
    for task in known.tasks:
        indices = batch_indices(0, task.name, 0, size=batch_size, available=len(task.adapt))
        images = task.adapt.batch(indices, world.config.preprocess)
        logits = known.heads[task.name](module(images))
        entropy_loss(logits).backward(retain_graph=True)
    gradient: Tensor = module.merge_weight.grad[:, order].clone()
    optimizer.step()
    optimizer.zero_grad()
    module.merge_weights()
    return gradient


def ties(world: World) -> Float[Tensor, " parameter"]:
    """Give some of the weights merged by its TIES."""
    from fusion_bench.method.ties_merging.ties_merging_utils import ties_merging

    bank = _bank(world)
    with redirect_stdout(sys.stderr):  # it prints what it does
        vector: Tensor = ties_merging(bank.vectors, reset_thresh=DENSITY, merge_func="sum")
    return (bank.base + SCALING * vector)[::SAMPLED].clone()


def routed(world: World) -> Float[Tensor, "image feature"]:
    """Give the features of images by its WEMoE, whose gate is told the routing."""
    experts = _experts(world)
    with torch.inference_mode():
        features: Tensor = experts(routed_images(world)[0])
    return features


def restart(world: World) -> None:
    """Put the coefficients back to where an adaptation begins."""
    module = _adaptation(world).module
    module.merge_weight.data.fill_(INIT)
    module.merge_weights()


@cache
def _adaptation(world: World) -> _Adaptation:
    from fusion_bench.models.wrappers.layer_wise_fusion import (
        LayerWiseMergedModel,
        get_layer_wise_weights,
    )

    base, *tuned = towers(world)
    names = [name.removeprefix(f"tower.{base.tower.PREFIX}") for name, _ in base.named_parameters()]
    weights = get_layer_wise_weights(
        num_models=len(tuned), num_layers=len(names), init_values=INIT, dtype=world.dtype
    )
    module = LayerWiseMergedModel(
        weights, base, tuned, clamp_weights=False, tie_weights=True, strict=False
    )
    module.train()
    module.merge_weights()
    order = tuple(names.index(segment.name) for segment in world.layout.segments)
    optimizer = torch.optim.Adam([module.merge_weight], lr=LR)
    return _Adaptation(material(world), module, optimizer, order)


@cache
def _bank(world: World) -> TaskVectors:
    return random_bank(world.config, world.num_tasks, world.dtype)


@cache
def _experts(world: World) -> nn.Module:
    from fusion_bench.models.we_moe import WeightEnsemblingMoE

    base, *tuned = towers(world)
    module: nn.Module = WeightEnsemblingMoE(
        hidden_size=1, base_model=base, expert_models=tuned, batch_first=True
    )
    module.gate = _Told(routed_images(world)[1])
    return module


class _Told(nn.Module):
    """A gate that answers what it is told, so that both sides route alike."""

    def __init__(self, routing: Float[Tensor, "image task"]) -> None:
        super().__init__()
        self.num_hidden_layers = 1
        self.routing = routing

    def forward(self, _images: Tensor) -> Float[Tensor, "image 1 task"]:
        """Give it as the gate of one token per image."""
        return self.routing[:, None]


def towers(world: World) -> list[VisualTower]:
    """Give the pretrained tower and the fine-tuned ones."""
    layout = world.layout
    base = random_base(layout).to(world.dtype)
    vectors = (random_vector(layout, task).to(world.dtype) for task in range(world.num_tasks))
    return [VisualTower(world, base), *(VisualTower(world, base + vector) for vector in vectors)]
