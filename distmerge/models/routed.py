"""A tower whose weights differ from image to image, without a loop over images."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import gelu, layer_norm, scaled_dot_product_attention, unfold
from torch.utils.checkpoint import checkpoint

from distmerge.spec import TowerConfig

_Tokens: TypeAlias = Float[Tensor, "image token width"]


@dataclass(frozen=True)
class RoutedWeights:
    """``theta_i = base + sum_k routing[i, k, group] vectors[k]`` for image i, never held at once.

    ``vectors`` have the task as their first axis; ``groups`` says which column of the routing
    weighs a tensor.
    """

    base: Mapping[str, Tensor]
    vectors: Mapping[str, Tensor]
    groups: Mapping[str, int]


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
        return tokens @ (weight.flatten(1).mT if transposed else weight)


@dataclass(frozen=True)
class _Routed:
    """Every image's own parameters, made where they are used."""

    weights: RoutedWeights
    routing: Float[Tensor, "image task group"]
    budget_bytes: int

    def vector(self, name: str) -> Float[Tensor, "image ..."]:
        base, vectors, shares = self._parts(name)
        flat = torch.addmm(base.reshape(1, -1), shares, vectors.flatten(1))
        return flat.view(-1, *base.shape)

    def product(
        self, tokens: Float[Tensor, "image token inner"], name: str, *, transposed: bool = True
    ) -> Float[Tensor, "image token outer"]:
        base, vectors, shares = self._parts(name)
        if not transposed:
            base, vectors = base.mT.contiguous(), vectors.mT.contiguous()
        base, vectors = base.flatten(1), vectors.flatten(2)
        rows = max(1, self.budget_bytes // (len(tokens) * base.shape[1] * base.element_size()))
        found: Tensor = _RoutedProduct.apply(tokens, shares, base, vectors, rows)
        return found

    def _parts(self, name: str) -> tuple[Tensor, Tensor, Tensor]:
        base = self.weights.base[name]
        shares = self.routing[:, :, self.weights.groups[name]].to(base.dtype)
        return base, self.weights.vectors[name].to(base.dtype), shares


class _RoutedProduct(torch.autograd.Function):
    """``tokens_i @ (base + sum_k shares_ik vectors_k).T``, a few rows of all matrices at a time.

    Task vectors are read once, and the rows are used while they are in the cache. Neither pass
    keeps them; the backward pass makes them again. Source: algorithms.md 3.9.
    """

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, shares: Tensor, base: Tensor, vectors: Tensor, rows: int
    ) -> Tensor:
        """Give the products, ``rows`` of their components at a time."""
        ctx.save_for_backward(tokens, shares, base, vectors)
        ctx.rows = rows
        products = tokens.new_empty(*tokens.shape[:2], len(base))
        for start in range(0, len(base), rows):
            part = slice(start, start + rows)
            products[:, :, part] = tokens @ _matrices(shares, base[part], vectors[:, part]).mT
        return products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of tokens and shares; base and vectors are constants."""
        tokens, shares, base, vectors = ctx.saved_tensors
        by_tokens, by_shares = torch.zeros_like(tokens), torch.zeros_like(shares)
        for start in range(0, len(base), ctx.rows):
            part = slice(start, start + ctx.rows)
            gradient = gradients[0][:, :, part]
            by_tokens += gradient @ _matrices(shares, base[part], vectors[:, part])
            by_matrix = gradient.mT @ tokens
            by_shares += by_matrix.flatten(1) @ vectors[:, part].flatten(1).mT
        return by_tokens, by_shares, None, None, None


def _matrices(shares: Tensor, base: Tensor, vectors: Tensor) -> Float[Tensor, "image outer inner"]:
    flat = torch.addmm(base.reshape(1, -1), shares, vectors.flatten(1))
    return flat.view(len(shares), *base.shape)


def routed_features(
    config: TowerConfig,
    weights: RoutedWeights,
    routing: Float[Tensor, "image task group"],
    images: Float[Tensor, "image channel height width"],
    *,
    budget_bytes: int,
    recompute: bool = False,
) -> Float[Tensor, "image feature"]:
    """Give each image's final features under its own weights, not normalised.

    Gradients flow to ``routing``. Source: algorithms.md 3.9, routed forward.

    Args:
        config: the tower.
        weights: base and task vectors.
        routing: weights of the task vectors.
        images: the tower's input.
        budget_bytes: for rows of single images' matrices that exist at once; at least one does.
        recompute: run every block again in the backward pass instead of keeping its activations.
    """

    def stem(routing: Tensor) -> Tensor:
        return _stem(config, _Routed(weights, routing, budget_bytes), images)

    def block(index: int, routing: Tensor, tokens: Tensor) -> Tensor:
        return _block(config, _Routed(weights, routing, budget_bytes), index, tokens)

    again = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
    tokens = stem(routing)
    for index in range(config.layers):
        tokens = (
            again(block, index, routing, tokens) if recompute else block(index, routing, tokens)
        )
    parameters = _Routed(weights, routing, budget_bytes)
    pooled = _norm(config, parameters, "ln_post", tokens[:, :1])
    if config.projection:
        pooled = parameters.product(pooled, "proj", transposed=False)
    return pooled[:, 0]


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
    patches = unfold(images, config.patch_size, stride=config.patch_size).mT
    embedded = parameters.product(patches, "conv1.weight")
    token = parameters.vector("class_embedding")[:, None].expand(len(images), 1, config.width)
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
    by_head = joined.unflatten(2, (3, config.heads, -1)).permute(2, 0, 3, 1, 4)
    attended = scaled_dot_product_attention(by_head[0], by_head[1], by_head[2])
    return _linear(parameters, f"{place}.out_proj.", attended.transpose(1, 2).flatten(2))


def _linear(
    parameters: _Parameters, place: str, tokens: Float[Tensor, "image token inner"]
) -> Float[Tensor, "image token outer"]:
    products = parameters.product(tokens, f"{place}weight")
    return products + parameters.vector(f"{place}bias")[:, None]


def _norm(config: TowerConfig, parameters: _Parameters, place: str, tokens: _Tokens) -> _Tokens:
    plain = layer_norm(tokens, (config.width,), eps=config.norm_eps)
    scale, shift = parameters.vector(f"{place}.weight"), parameters.vector(f"{place}.bias")
    return plain * scale[:, None] + shift[:, None]
