"""The batched routed forward against one merge per image, and against a plain forward."""

from typing import NamedTuple

import torch

from benchmarks.clock import median
from benchmarks.towers import VIT_B_32
from distmerge.models import RoutedWeights, Tower, routed_features
from distmerge.spec import TowerConfig

_BUDGET = 4 << 20  # bytes; what RoutedModel takes on a CPU


class Result(NamedTuple):
    """Seconds of the same batch, medians of the same run."""

    batched_s: float
    loop_s: float
    plain_s: float

    @property
    def ratio(self) -> float:
        """How many times faster than the loop."""
        return self.loop_s / self.batched_s

    @property
    def overhead(self) -> float:
        """How many plain forwards one routed forward takes."""
        return self.batched_s / self.plain_s


def measure(num_tasks: int = 8, num_images: int = 16) -> Result:
    """Give the times with random weights; task-level routing.

    Raises:
        AssertionError: the loop gives other features.
    """
    config = VIT_B_32
    tower, weights = Tower(config), _weights(config, num_tasks)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(num_images, 3, config.image_size, config.image_size, generator=generator)
    routing = torch.randn(num_images, num_tasks, 1, generator=generator).softmax(dim=1)

    def batched() -> torch.Tensor:
        return routed_features(config, weights, routing, images, budget_bytes=_BUDGET)

    def loop() -> torch.Tensor:
        return torch.cat(
            [
                tower.features(_merged(weights, shares[:, 0]), image[None])
                for shares, image in zip(routing, images, strict=True)
            ]
        )

    with torch.inference_mode():
        torch.testing.assert_close(batched(), loop(), rtol=1e-3, atol=1e-3)
        plain = median(lambda: tower.features(weights.base, images))
        return Result(median(batched), median(loop), plain)


def _weights(config: TowerConfig, num_tasks: int) -> RoutedWeights:
    """Give a base of the usual scale and task vectors a tenth of it."""
    generator = torch.Generator().manual_seed(0)
    base, vectors = {}, {}
    for name, shape in Tower(config).shapes.items():
        is_scale = len(shape) == 1 and name.endswith("weight")
        base[name] = 0.02 * torch.randn(shape, generator=generator) + float(is_scale)
        vectors[name] = 0.002 * torch.randn(num_tasks, *shape, generator=generator)
    return RoutedWeights(base, vectors, dict.fromkeys(base, 0))


def _merged(weights: RoutedWeights, shares: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        name: torch.addmv(base.flatten(), weights.vectors[name].flatten(1).mT, shares).view_as(base)
        for name, base in weights.base.items()
    }
