"""The adapt images of all tasks side by side, with what the pretrained tower says about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.methods.bd_merging.model import (
    Reader,
    RouterInput,
    router_reader,
    vision_transformer,
)
from distmerge.methods.contract import PRETRAINED, MergedModel, Scope
from distmerge.spec import Preprocess
from distmerge.tasks import Samples, batch_indices

_BATCH = 128  # images per forward without gradients


@dataclass(frozen=True)
class Drawn:
    """One step's images, the same number of every task, tasks in order."""

    images: Float[Tensor, "sample 3 size size"]
    places: Int64[Tensor, " sample"]
    """Where they stand in the pool."""


@dataclass(frozen=True)
class Pool:
    """Images by task, and by place: pretrained features, not normalised, and router tokens."""

    images: Mapping[str, Samples]
    preprocess: Preprocess
    features: Float[Tensor, "sample feature"]
    tokens: Float[Tensor, "sample width"]

    def draw(self, seed: int, step: int, size: int) -> Drawn:
        """Give the ``size`` images of every task that a step's address stands for."""
        indices = self._indices(seed, step, size)
        batches = [images.batch(indices[t], self.preprocess) for t, images in self.images.items()]
        places = self.places(seed, step, size)
        return Drawn(torch.cat(batches).to(places.device), places)

    def places(self, seed: int, step: int, size: int) -> Int64[Tensor, " sample"]:
        """Give where a step's images stand in the pool."""
        ends = accumulate(len(images) for images in self.images.values())
        starts = [end - len(images) for end, images in zip(ends, self.images.values(), strict=True)]
        indices = self._indices(seed, step, size).values()
        placed = [start + chosen for start, chosen in zip(starts, indices, strict=True)]
        return torch.from_numpy(np.concatenate(placed)).to(self.features.device)

    def _indices(self, seed: int, step: int, size: int) -> dict[str, Int64[np.ndarray, " batch"]]:
        return {
            task: batch_indices(seed, task, step, size=size, available=len(images))
            for task, images in self.images.items()
        }


def adapt_pool(model: MergedModel, scope: Scope, router_input: RouterInput) -> Pool:
    """Give all adapt images with facts from the bank; only other router inputs are computed."""
    images = {task: scope.adapt[task] for task in model.vectors.tasks}
    facts = [scope.models.facts(PRETRAINED, task, "adapt") for task in images]
    device = model.vectors.base.device
    features = torch.cat([fact.features for fact in facts]).to(device)
    preprocess = vision_transformer(model.tower).preprocess
    if router_input == "cls":
        tokens = torch.cat([fact.layers[:, -1] for fact in facts]).to(device)
        return Pool(images, preprocess, features, tokens)
    read = router_reader(model.tower, model.vectors, router_input)
    return Pool(images, preprocess, features, tokens_of(images.values(), preprocess, read, device))


def tokens_of(
    images: Iterable[Samples], preprocess: Preprocess, read: Reader, device: torch.device
) -> Float[Tensor, "sample width"]:
    """Give what a reader reads off all images, one after the other."""
    parts = []
    for some in images:
        for batch in some.batches(_BATCH, preprocess):
            with torch.no_grad():
                parts.append(read(batch.to(device)))
    return torch.cat(parts)
