"""Towers of the size that users have, and banks of random weights that behave like theirs."""

import torch

from distmerge.models import Tower, address_seed
from distmerge.spec import Preprocess, TowerConfig
from distmerge.taskvectors import Layout, TaskVectors

VIT_B_32 = TowerConfig(
    image_size=224,
    patch_size=32,
    width=768,
    layers=12,
    heads=12,
    output_dim=512,
    preprocess=Preprocess(
        size=224,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ),
)
"""CLIP ViT-B/32."""
SMALL = VIT_B_32.model_copy(
    update={
        "image_size": 32,
        "patch_size": 16,
        "width": 32,
        "layers": 2,
        "heads": 2,
        "output_dim": 16,
        "preprocess": VIT_B_32.preprocess.model_copy(update={"size": 32}),
    }
)
"""One for float64 and for tests."""
_STEP = 1e-3  # standard deviation of a task vector; fine-tuned CLIP towers differ by about as much


def random_bank(
    config: TowerConfig, num_tasks: int, dtype: torch.dtype = torch.float32
) -> TaskVectors:
    """Give a base and task vectors at random, the same ones in every process."""
    layout = Layout.of(Tower(config).shapes)
    vectors = torch.empty(num_tasks, layout.num_parameters, dtype=dtype)
    for task, row in enumerate(vectors):
        row.copy_(random_vector(layout, task))
    names = tuple(f"task{task}" for task in range(num_tasks))
    return TaskVectors(names, layout, random_base(layout).to(dtype), vectors)


def random_base(layout: Layout) -> torch.Tensor:
    """Give flat weights that keep the scale of activations: matrices at random, norms as one."""
    base = torch.randn(layout.num_parameters, generator=_generator("base"))
    for segment in layout.segments:
        part, shape = base[segment.start : segment.stop], segment.shape
        if len(shape) > 1:
            part.mul_(torch.Size(shape[1:]).numel() ** -0.5)
        else:
            part.mul_(0.02).add_(float(segment.name.endswith("weight")))
    return base


def random_vector(layout: Layout, task: int) -> torch.Tensor:
    """Give the flat task vector of a task."""
    return _STEP * torch.randn(layout.num_parameters, generator=_generator(f"task{task}"))


def _generator(name: str) -> torch.Generator:
    return torch.Generator().manual_seed(address_seed(0, name))
