"""What a step of AdaMerging is taken on: the same tower, heads and images in every process."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.towers import VIT_B_32
from distmerge.coordinator import Material
from distmerge.models import Head, Tower, address_seed
from distmerge.spec import Preprocess, Tokens, TowerConfig
from distmerge.tasks import LabelledSamples, ModelInput, Samples, Task
from distmerge.taskvectors import Layout

INIT, LR = 0.3, 1e-3
DENSITY, SCALING = 0.2, 0.3  # of TIES
SAMPLED = 101  # every so many merged weights are compared
_ROUTED = 16
NUM_IMAGES = 32  # of a task
_CLASSES, _CELLS = 10, 7
_SPREAD = 1.5  # of the logits: more would saturate, and a saturated backward pass is denormal


class World(NamedTuple):
    """Which tower, how many tasks, and the type of all numbers."""

    config: TowerConfig = VIT_B_32
    num_tasks: int = 8
    dtype: torch.dtype = torch.float32

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks' names."""
        return tuple(f"task{task}" for task in range(self.num_tasks))

    @property
    def layout(self) -> Layout:
        """The tower's tensors; the coefficients have a column for each."""
        return Layout.of(Tower(self.config).shapes)


@dataclass(frozen=True)
class _Typed(Samples):
    """Samples in the type of a world's numbers."""

    dtype: torch.dtype = torch.float32

    def batch(
        self, indices: Int64[np.ndarray, " batch"], preprocess: Preprocess | Tokens
    ) -> ModelInput:
        return super().batch(indices, preprocess).to(self.dtype)


def material(world: World) -> Material:
    """Give tower, tasks and heads; images are coarse patterns with noise, logits unsaturated."""
    tasks = tuple(_task(world, name) for name in world.tasks)
    heads = {name: _head(world, name) for name in world.tasks}
    return Material(world.config, Tower(world.config), tasks, heads)


def routed_images(world: World) -> tuple[Tensor, Tensor]:
    """Give images of one task, and for each how much of every task vector it gets."""
    images = next(_task(world, "task0").adapt.batches(_ROUTED, world.config.preprocess))
    generator = torch.Generator().manual_seed(address_seed(0, "routing"))
    scores = torch.randn(_ROUTED, world.num_tasks, generator=generator).to(world.dtype)
    return images, scores.softmax(dim=1)


def _task(world: World, name: str) -> Task:
    random = np.random.default_rng(address_seed(0, name, "images"))
    size = world.config.image_size
    cells = random.integers(0, 200, (NUM_IMAGES, _CELLS, _CELLS, 3), dtype=np.uint8)
    place = np.arange(size) * _CELLS // size
    pixels = cells[:, place][:, :, place] + random.integers(
        0, 56, (NUM_IMAGES, size, size, 3), dtype=np.uint8
    )
    samples = _Typed(pixels, name, world.dtype)
    labelled = LabelledSamples(samples, np.arange(NUM_IMAGES) % _CLASSES)
    return Task(name, tuple(map(str, range(_CLASSES))), samples, labelled, labelled)


def _head(world: World, name: str) -> Head:
    generator = torch.Generator().manual_seed(address_seed(0, name, "head"))
    rows = torch.randn(_CLASSES, world.config.output_dim, generator=generator)
    scale = _SPREAD * world.config.output_dim**0.5  # of a cosine with random rows
    return Head(
        (scale * normalize(rows, dim=-1)).to(world.dtype),
        torch.zeros(_CLASSES, dtype=world.dtype),
        torch.zeros(world.config.output_dim, dtype=world.dtype),
    )
