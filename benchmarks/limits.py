"""What this machine can do at best: bytes from memory, and products of matrices."""

from functools import partial
from typing import NamedTuple

import torch

from benchmarks.clock import median
from distmerge.models.linear import linear
from distmerge.spec import TowerConfig

_BYTES = 1 << 30  # beyond every cache
_MATRICES = ((2048, 2048, 2048), (4096, 768, 3072), (4096, 3072, 768))  # the last: an MLP of B/32


class Bandwidth(NamedTuple):
    """Bytes per second over an array that no cache holds, with all cores."""

    read: float
    """The best of several reductions, which read and write nothing."""
    copy: float
    """Read and written, each counted once; the line that a store first fetches is not counted."""

    @property
    def best(self) -> float:
        """The larger, so that no reading of ours can be measured against a slow reduction."""
        return max(self)


def bandwidth(num_bytes: int = _BYTES) -> Bandwidth:
    """Give the memory bandwidth as measured now."""
    source = torch.ones(num_bytes // 4)
    reads = (source.sum, source.amax, lambda: torch.dot(source, source))
    read = num_bytes / min(median(call, repeats=3) for call in reads)
    target = torch.empty_like(source)
    return Bandwidth(read, 2 * num_bytes / median(lambda: target.copy_(source), repeats=3))


def matrix_rate(dtype: torch.dtype) -> float:
    """Give floating-point operations per second of matrix products, the best that was seen.

    Of several shapes, and of both libraries that torch has on a CPU.
    """
    generator = torch.Generator().manual_seed(0)
    rates = []
    for rows, inner, columns in _MATRICES:
        left = torch.randn(rows, inner, generator=generator).to(dtype)
        right = torch.randn(inner, columns, generator=generator).to(dtype)
        calls = (partial(torch.matmul, left, right), partial(linear, left, right.mT.contiguous()))
        flops = 2 * rows * inner * columns
        rates += [flops / median(call) for call in calls]  # MKL's, and oneDNN's
    return max(rates)


def forward_flops(config: TowerConfig) -> int:
    """Give the floating-point operations of the matrix products of one image's forward pass.

    Two per multiply-add. With n patches, t = n + 1 tokens of width w and m = mlp_ratio * w:
    ``2 n 3 patch^2 w`` for the patches; per layer ``2 t (4 w^2 + 2 w m)`` for the projections and
    the MLP and ``4 t^2 w`` for scores and values of the attention; ``2 w d`` for the projection.
    """
    patches = (config.image_size // config.patch_size) ** 2
    tokens, width = patches + 1, config.width
    hidden = int(config.mlp_ratio * width)
    layer = 2 * tokens * (4 * width**2 + 2 * width * hidden) + 4 * tokens**2 * width
    embedding = 2 * patches * 3 * config.patch_size**2 * width
    return embedding + config.layers * layer + 2 * width * config.output_dim


def step_flops(config: TowerConfig, num_images: int) -> int:
    """Give the operations of the matrix products of a training step.

    Three forward passes: one forward, one for the gradient of the weights and one for that of the
    activations; nothing asks for the gradient of the images.
    """
    patches = (config.image_size // config.patch_size) ** 2
    images = 2 * patches * 3 * config.patch_size**2 * config.width
    return num_images * (3 * forward_flops(config) - images)
