"""A tower as a pure function of its parameters."""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from jaxtyping import Float, Shaped
from torch import Tensor
from torch.func import functional_call

from distmerge.models.architecture import built
from distmerge.spec import AnyTower


class Encoding(NamedTuple):
    """What a tower says about a batch of images or texts."""

    layers: Float[Tensor, "sample layer width"]
    """The class token, or what stands for it, after every block; no layer of some towers."""
    features: Float[Tensor, "sample feature"]
    """The final feature, not normalised."""


class Tower:
    """The architecture of a tower; weights are an argument of every call.

    The merged model, the base and the individual models share one ``Tower``.
    """

    def __init__(self, config: AnyTower) -> None:
        self.config = config
        self._forward = built(config).eval().requires_grad_(False)
        self._buffers = {name for name, _ in self._forward.named_buffers()}
        state = self._forward.state_dict()
        self.shapes: dict[str, torch.Size] = {
            name.removeprefix(self._forward.PREFIX): tensor.shape for name, tensor in state.items()
        }

    def to(self, device: torch.device) -> "Tower":
        """Move the module's own tensors, so that calls with weights on ``device`` work."""
        if not any(parameter.is_meta for parameter in self._forward.parameters()):
            self._forward.to(device)
        return self

    def features(
        self, weights: Mapping[str, Tensor], inputs: Shaped[Tensor, "sample ..."]
    ) -> Float[Tensor, "sample feature"]:
        """Give the final features under ``weights``, not normalised."""
        features: Tensor = self._call(weights, inputs, layers=False)
        return features

    def encode(
        self, weights: Mapping[str, Tensor], inputs: Shaped[Tensor, "sample ..."]
    ) -> Encoding:
        """Give the final features and those of the layers."""
        layers, features = self._call(weights, inputs, layers=True)
        return Encoding(layers, features)

    def _call(self, weights: Mapping[str, Tensor], inputs: Tensor, *, layers: bool):  # type: ignore[no-untyped-def]  # one of two types
        if weights.keys() != self.shapes.keys():
            different = sorted(weights.keys() ^ self.shapes.keys())
            raise ValueError(f"weights of another tower: {different}")
        named = {f"{self._forward.PREFIX}{name}": tensor for name, tensor in weights.items()}
        for name in self._buffers & named.keys():  # running statistics of batch norms
            named[name] = clamped(name, named[name].detach())  # torch takes no gradient of them
        return functional_call(self._forward, named, (inputs,), {"layers": layers})


def clamped(name: str, tensor: Tensor) -> Tensor:
    """Give a merged tensor as a tower may hold it: a batch norm's variance is not below zero."""
    return tensor.clamp(min=0) if name.endswith("running_var") else tensor
