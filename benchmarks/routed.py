"""The batched routed forward against loops over the images, and against a plain forward."""

from collections.abc import Callable, Iterator, Mapping
from typing import TypeAlias

import torch
from torch.func import functional_call

from benchmarks.clock import medians
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32, random_bank
from distmerge.methods.bd_merging.model import budget_bytes, routed_weights
from distmerge.models import RoutedWeights, Tower, routed_features
from distmerge.models.architecture import skeleton

_Features: TypeAlias = Callable[[Mapping[str, torch.Tensor], torch.Tensor], torch.Tensor]


def routed_forward(num_tasks: int = 8, num_images: int = 16) -> Iterator[Row]:
    """Yield the times with random weights; task-level routing.

    Two loops over the images merge alike. One then calls our tower, with the products that we have
    chosen; the other open_clip's own module by ``torch.func.functional_call``, as its users would.

    Raises:
        AssertionError: a loop gives other features.
    """
    config = VIT_B_32
    module = skeleton(config)  # without the products that a Tower has
    tower, weights = Tower(config), routed_weights(random_bank(config, num_tasks), "global")
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(num_images, 3, config.image_size, config.image_size, generator=generator)
    routing = torch.randn(num_images, num_tasks, 1, generator=generator).softmax(dim=1)
    budget = budget_bytes(0, images.device)

    def batched() -> torch.Tensor:
        return routed_features(config, weights, routing, images, budget_bytes=budget)

    def loop(features: _Features) -> torch.Tensor:
        pairs = zip(routing, images, strict=True)
        return torch.cat([features(_merged(weights, s[:, 0]), image[None]) for s, image in pairs])

    def by_open_clip(merged: Mapping[str, torch.Tensor], inputs: torch.Tensor) -> torch.Tensor:
        named = {f"{module.PREFIX}{name}": tensor for name, tensor in merged.items()}
        found: torch.Tensor = functional_call(module, named, (inputs,), {"layers": False})
        return found

    with torch.inference_mode():
        for features in (tower.features, by_open_clip):
            torch.testing.assert_close(batched(), loop(features), rtol=1e-3, atol=1e-3)
        ours, one_by_one, by_torch, plain = medians(
            batched,
            lambda: loop(tower.features),
            lambda: loop(by_open_clip),
            lambda: tower.features(weights.base, images),
        )
    peer = "one merge per image, our products"
    yield Row("routed forward", ours, peer=peer, peer_s=one_by_one, target=4.0)
    peer = "one merge per image, open_clip's module"
    yield Row("routed forward, plain torch", ours, peer=peer, peer_s=by_torch, target=4.0)
    yield Row("routed forward over a plain one", ours, limit_s=plain, target=1.6)


def _merged(weights: RoutedWeights, shares: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        name: torch.addmv(base.flatten(), weights.vectors[name].flatten(1).mT, shares).view_as(base)
        for name, base in weights.base.items()
    }
