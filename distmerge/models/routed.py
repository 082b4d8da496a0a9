"""A tower whose weights differ from image to image, without a loop over images."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, unfold
from torch.utils.checkpoint import checkpoint

from distmerge.models.linear import linear, self_attention
from distmerge.models.routed_product import Factors, factored_product, tiled_product
from distmerge.spec import TowerConfig

_Tokens: TypeAlias = Float[Tensor, "image token width"]


@dataclass(frozen=True)
class RoutedWeights:
    """``theta_i = base + sum_k routing[i, k, group] vectors[k]`` for image i, never held at once.

    ``vectors`` have the task as their first axis; ``groups`` says which column of the routing
    weighs a tensor. Base and vectors may be bfloat16: the forward pass runs in the base's type.
    """

    base: Mapping[str, Tensor]
    vectors: Mapping[str, Tensor]
    groups: Mapping[str, int]
    factors: Mapping[str, Factors] = field(default_factory=dict)
    """Stand in for the vectors of the matrices that they name."""


@runtime_checkable
class _Parameters(Protocol):
    """Where the forward pass gets its parameters from."""

    def vector(self, name: str) -> Float[Tensor, "image ..."]:
        """Give a small parameter of every image; of a plain tower one for all of them."""
        ...

    def product(
        self, tokens: Float[Tensor, "image token inner"], name: str, *, transposed: bool = True
    ) -> Float[Tensor, "image token outer"]:
        """Give tokens times a matrix parameter, transposed as linear layers store it."""
        ...


@dataclass(frozen=True)
class _Plain:
    """One tower's parameters, the same for all images."""

    weights: Mapping[str, Tensor]

    def vector(self, name: str) -> Float[Tensor, "image ..."]:
        return self.weights[name][None]

    def product(
        self, tokens: Float[Tensor, "image token inner"], name: str, *, transposed: bool = True
    ) -> Float[Tensor, "image token outer"]:
        weight = self.weights[name]
        return linear(tokens, weight.flatten(1) if transposed else weight.mT)


@dataclass(frozen=True)
class _Routed:
    """Every image's own parameters, made where they are used."""

    weights: RoutedWeights
    routing: Float[Tensor, "image task group"]
    budget_bytes: int

    def vector(self, name: str) -> Float[Tensor, "image ..."]:
        base, vectors = self.weights.base[name], self.weights.vectors[name]
        shares = self._shares(name)
        whole, some = (part.to(shares.dtype) for part in (base, vectors))
        flat = torch.addmm(whole.reshape(1, -1), shares, some.flatten(1))
        return flat.to(base.dtype).view(-1, *base.shape)

    def product(
        self, tokens: Float[Tensor, "image token inner"], name: str, *, transposed: bool = True
    ) -> Float[Tensor, "image token outer"]:
        base, shares = self.weights.base[name], self._shares(name)
        matrix = base.flatten(1) if transposed else base.mT
        if name in self.weights.factors:
            return factored_product(tokens, shares, matrix, self.weights.factors[name])
        vectors = self.weights.vectors[name]
        vectors = vectors.flatten(2) if transposed else vectors.mT
        return tiled_product(tokens, shares, matrix, vectors, self.budget_bytes)

    def _shares(self, name: str) -> Float[Tensor, "image task"]:
        return self.routing[:, :, self.weights.groups[name]]


def routed_features(
    config: TowerConfig,
    weights: RoutedWeights,
    routing: Float[Tensor, "image task group"],
    images: Float[Tensor, "image channel height width"],
    *,
    budget_bytes: int,
    recompute: bool = False,
) -> Float[Tensor, "image feature"]:
    """Give each image's final features under its own weights, not normalised, in float32.

    Gradients flow to ``routing``, which is float32 also where the weights are bfloat16. Those of
    float64 give float64. Source: algorithms.md 3.9, routed forward.

    Args:
        config: the tower.
        weights: base and task vectors.
        routing: weights of the task vectors.
        images: the tower's input.
        budget_bytes: for the part of single images' matrices that exists at once.
        recompute: run every block again in the backward pass instead of keeping its activations.
    """

    def block(index: int, routing: Tensor, tokens: Tensor) -> Tensor:
        return _block(config, _Routed(weights, routing, budget_bytes), index, tokens)

    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    parameters = _Routed(weights, routing, budget_bytes)
    tokens = _stem(config, parameters, images)
    for index in range(config.layers):
        tokens = (
            again(block, index, routing, tokens) if recompute else block(index, routing, tokens)
        )
    pooled = _norm(config, parameters, "ln_post", tokens[:, :1])
    if config.projection:
        pooled = parameters.product(pooled, "proj", transposed=False)
    return pooled[:, 0].to(torch.promote_types(pooled.dtype, torch.float32))


def matrix_tokens(config: TowerConfig) -> dict[str, int]:
    """Give the names of the matrices that all tokens of an image meet, and how many they are."""
    patches = (config.image_size // config.patch_size) ** 2
    layers = ("attn.in_proj_weight", "attn.out_proj.weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    blocks = [
        f"transformer.resblocks.{index}.{layer}"
        for index in range(config.layers)
        for layer in layers
    ]
    return {"conv1.weight": patches, **dict.fromkeys(blocks, patches + 1)}


def mean_tokens(
    config: TowerConfig,
    weights: Mapping[str, Tensor],
    images: Float[Tensor, "image channel height width"],
    *,
    after: Literal["stem", "blocks"],
) -> Float[Tensor, "image width"]:
    """Give the mean over all tokens of one plain tower, before the first or after the last block.

    The mean before the blocks leaves out the class token, which is the same for all images.
    """
    parameters = _Plain(weights)
    tokens = _stem(config, parameters, images)
    if after == "stem":
        return tokens[:, 1:].mean(dim=1)
    for index in range(config.layers):
        tokens = _block(config, parameters, index, tokens)
    return tokens.mean(dim=1)


def _stem(
    config: TowerConfig,
    parameters: _Parameters,
    images: Float[Tensor, "image channel height width"],
) -> _Tokens:
    first = parameters.vector("class_embedding")[:, None]
    patches = unfold(images, config.patch_size, stride=config.patch_size).mT.to(first.dtype)
    embedded = parameters.product(patches, "conv1.weight")
    token = first.expand(len(images), 1, config.width)
    tokens = torch.cat([token, embedded], dim=1) + parameters.vector("positional_embedding")
    return tokens if config.no_ln_pre else _norm(config, parameters, "ln_pre", tokens)


def _block(config: TowerConfig, parameters: _Parameters, index: int, tokens: _Tokens) -> _Tokens:
    place = f"transformer.resblocks.{index}"

    def scaled(name: str, change: Tensor) -> Tensor:
        if config.ls_init_value is None:
            return change
        return change * parameters.vector(f"{place}.{name}.gamma")[:, None]

    normed = _norm(config, parameters, f"{place}.ln_1", tokens)
    tokens = tokens + scaled("ls_1", _attention(config, parameters, f"{place}.attn", normed))
    normed = _norm(config, parameters, f"{place}.ln_2", tokens)
    hidden = _linear(parameters, f"{place}.mlp.c_fc.", normed)
    active = hidden * torch.sigmoid(1.702 * hidden) if config.quick_gelu else gelu(hidden)
    return tokens + scaled("ls_2", _linear(parameters, f"{place}.mlp.c_proj.", active))


def _attention(
    config: TowerConfig, parameters: _Parameters, place: str, tokens: _Tokens
) -> _Tokens:
    joined = _linear(parameters, f"{place}.in_proj_", tokens)
    return _linear(parameters, f"{place}.out_proj.", self_attention(joined, config.heads))


def _linear(
    parameters: _Parameters, place: str, tokens: Float[Tensor, "image token inner"]
) -> Float[Tensor, "image token outer"]:
    products = parameters.product(tokens, f"{place}weight")
    return products.add_(parameters.vector(f"{place}bias")[:, None])


def _norm(config: TowerConfig, parameters: _Parameters, place: str, tokens: _Tokens) -> _Tokens:
    plain = layer_norm(tokens, (config.width,), eps=config.norm_eps)
    scale, shift = parameters.vector(f"{place}.weight"), parameters.vector(f"{place}.bias")
    return torch.addcmul(shift[:, None], plain, scale[:, None])
