"""Routed forwards with exact task vectors against factors of low rank, of adapters and of noise."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from benchmarks.clock import medians
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32
from distmerge.methods.bd_merging.model import budget_bytes, routed_weights
from distmerge.models import RoutedWeights, Tower, matrix_tokens, routed_features
from distmerge.spec import TowerConfig
from distmerge.taskvectors import Layout, TaskVectors, low_rank

_BOUND = 0.01  # relative error


def low_rank_forward(
    config: TowerConfig = VIT_B_32, num_tasks: int = 8, num_images: int = 16, rank: int = 16
) -> Iterator[Row]:
    """Yield the times of task vectors that are adapters of ``rank``, and of full rank.

    Factors are not to win where vectors are of full rank: none is found then.

    Raises:
        AssertionError: the features differ.
    """
    for name, ranks in ((f"adapters of rank {rank}", rank), ("full rank", None)):
        vectors = _vectors(config, num_tasks, ranks)
        found = low_rank(vectors, _BOUND, matrix_tokens(config))
        exact = routed_weights(vectors, "global")
        factored = replace(exact, factors=found.factors)
        note = f"{len(found.factors)} of {len(matrix_tokens(config))} matrices are factors"
        for what, gradients in (("forward", False), ("forward and backward", True)):
            ours, full = _times(config, (factored, exact), num_images, gradients=gradients)
            yield Row(f"routed {what}, {name}", ours, "exact vectors", full, note=note)


def _times(
    config: TowerConfig,
    both: tuple[RoutedWeights, RoutedWeights],
    num_images: int,
    *,
    gradients: bool,
) -> tuple[float, ...]:
    generator = torch.Generator().manual_seed(0)
    size, num_tasks = config.image_size, len(both[0].vectors["conv1.weight"])
    images = torch.randn(num_images, 3, size, size, generator=generator)
    routing = torch.randn(num_images, num_tasks, 1, generator=generator).softmax(dim=1)
    budget = budget_bytes(0, images.device)

    def features(weights: RoutedWeights, shares: Tensor) -> Tensor:
        return routed_features(config, weights, shares, images, budget_bytes=budget)

    def step(weights: RoutedWeights) -> Tensor:
        if not gradients:
            return features(weights, routing)
        shares = routing.clone().requires_grad_()
        features(weights, shares).square().mean().backward()
        assert shares.grad is not None
        return shares.grad

    with torch.set_grad_enabled(gradients):
        first, second = (step(weights) for weights in both)
        assert torch.dist(first, second) < 3 * _BOUND * second.norm()
        return medians(*(lambda w=weights: step(w) for weights in both), warm=False)


def _vectors(config: TowerConfig, num_tasks: int, rank: int | None) -> TaskVectors:
    """Give a base of the usual scale; of a rank, the vectors of matrices alone are not zero."""
    generator = torch.Generator().manual_seed(0)
    shapes = Tower(config).shapes
    layout = Layout.of(shapes)
    base = 0.02 * torch.randn(layout.num_parameters, generator=generator)
    vectors = torch.zeros(num_tasks, layout.num_parameters)
    for segment in layout.segments:
        if len(segment.shape) == 1 and segment.name.endswith("weight"):
            base[segment.start : segment.stop] += 1
        for vector in vectors:
            part = vector[segment.start : segment.stop]
            if rank is None:
                part.normal_(std=0.002, generator=generator)
            elif segment.name in matrix_tokens(config):
                left = torch.randn(segment.shape[0], rank, generator=generator)
                right = torch.randn(rank, segment.size // segment.shape[0], generator=generator)
                torch.mm(left, 0.002 * rank**-0.5 * right, out=part.view(len(left), -1))
    tasks = tuple(f"task {number}" for number in range(num_tasks))
    return TaskVectors(tasks, layout, base, vectors)
