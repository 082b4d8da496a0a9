"""The batched routed forward against one merge per image, and against a plain forward."""

from collections.abc import Iterator

import torch

from benchmarks.clock import medians
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32, random_bank
from distmerge.methods.bd_merging.model import budget_bytes, routed_weights
from distmerge.models import RoutedWeights, Tower, routed_features


def routed_forward(num_tasks: int = 8, num_images: int = 16) -> Iterator[Row]:
    """Yield the times with random weights; task-level routing.

    Raises:
        AssertionError: the loop gives other features.
    """
    config = VIT_B_32
    tower, weights = Tower(config), routed_weights(random_bank(config, num_tasks), "global")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(num_images, 3, config.image_size, config.image_size, generator=generator)
    routing = torch.randn(num_images, num_tasks, 1, generator=generator).softmax(dim=1)
    budget = budget_bytes(0, images.device)

    def batched() -> torch.Tensor:
        return routed_features(config, weights, routing, images, budget_bytes=budget)

    def loop() -> torch.Tensor:
        return torch.cat(
            [
                tower.features(_merged(weights, shares[:, 0]), image[None])
                for shares, image in zip(routing, images, strict=True)
            ]
        )

    with torch.inference_mode():
        torch.testing.assert_close(batched(), loop(), rtol=1e-3, atol=1e-3)
        ours, one_by_one, plain = medians(
            batched, loop, lambda: tower.features(weights.base, images)
        )
    yield Row("routed forward", ours, peer="one merge per image", peer_s=one_by_one, target=4.0)
    yield Row("routed forward over a plain one", ours, limit_s=plain, target=1.6)


def _merged(weights: RoutedWeights, shares: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        name: torch.addmv(base.flatten(), weights.vectors[name].flatten(1).mT, shares).view_as(base)
        for name, base in weights.base.items()
    }
