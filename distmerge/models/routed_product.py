"""Tokens times every image's own matrix: tile by tile, or by the factors of low-rank vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.models.linear import linear, write_products

_Tokens: TypeAlias = Float[Tensor, "image token inner"]
_Products: TypeAlias = Float[Tensor, "image token outer"]
_ROWS = 64  # of a tile, at least: narrower products are far from what the machine can do


class Tile(NamedTuple):
    """How many images' matrices, and how many of their rows, are made at once."""

    images: int
    rows: int

    def cut(self, images: int, outer: int) -> Iterator[tuple[slice, slice]]:
        """Yield the images and rows of all tiles."""
        for image in range(0, images, self.images):
            for row in range(0, outer, self.rows):
                yield slice(image, image + self.images), slice(row, row + self.rows)


@dataclass(frozen=True)
class Factors:
    """A matrix's task vectors as ``vectors[k] = sum over r with tasks[r] = k of left_r right_r``.

    Tasks may have different ranks, also none.
    """

    left: Float[Tensor, "rank outer"]
    right: Float[Tensor, "rank inner"]
    tasks: Int64[Tensor, " rank"]
    """Whose vector a rank is part of; ascending."""


def tile_of(outer: int, inner: int, *, images: int, element_bytes: int, budget: int) -> Tile:
    """Give the tile that fits into ``budget`` bytes: of all images, unless few rows of each fit.

    Each row is ``inner`` long; one of one image is made at least.
    """
    row = inner * element_bytes
    together = max(1, min(images, budget // (row * min(outer, _ROWS))))
    return Tile(together, max(1, min(outer, budget // (row * together))))


def tiled_product(
    tokens: _Tokens,
    shares: Float[Tensor, "image task"],
    base: Float[Tensor, "outer inner"],
    vectors: Float[Tensor, "task outer inner"],
    budget_bytes: int,
) -> _Products:
    """Give ``tokens_i @ (base + sum_k shares_ik vectors_k).T`` for every image i.

    Gradients flow to tokens and shares.

    A tile of the matrices is used while it is in the cache; task vectors are read once per tile's
    images. Making the matrices takes ``task * outer * inner`` multiply-adds per image, the products
    ``token * outer * inner``. The other way, every task's matrix times the tokens, takes
    ``task * token * outer * inner``: never less. Source: algorithms.md 3.9.
    """
    outer, inner = base.shape
    size = base.element_size()
    tile = tile_of(outer, inner, images=len(tokens), element_bytes=size, budget=budget_bytes)
    products: Tensor = _TiledProduct.apply(tokens, shares, base, vectors, tile)
    return products


def factored_product(
    tokens: _Tokens,
    shares: Float[Tensor, "image task"],
    base: Float[Tensor, "outer inner"],
    factors: Factors,
) -> _Products:
    """Give the same of vectors that are factors: no image's matrix is made.

    Takes ``token * rank * (outer + inner)`` multiply-adds per image beside a plain product.
    """
    left, right = factors.left.to(base.dtype), factors.right.to(base.dtype)
    weighed = linear(tokens, right) * shares[:, factors.tasks].to(base.dtype)[:, None]
    return linear(tokens, base) + weighed @ left


def most_ranks(outer: int, inner: int, *, tokens: int, tasks: int) -> int:
    """Give the ranks of all tasks together up to which factors cost less than tiles.

    What counts are the multiply-adds of an adapt step per image. Tiles take
    ``(token + task) * outer * inner`` to make matrices and products, and twice that backward, where
    matrices are made again and each share's gradient goes through the matrix's. Factors take
    ``token * outer * inner`` both ways, for the base is a constant, and three times
    ``token * rank * (outer + inner)``.
    """
    spared = (tokens + 3 * tasks) * outer * inner
    return ceil(spared / (3 * tokens * (outer + inner))) - 1


class _TiledProduct(torch.autograd.Function):
    """Neither pass keeps the matrices; the backward pass makes them again."""

    @staticmethod
    def forward(
        ctx: Any, tokens: Tensor, shares: Tensor, base: Tensor, vectors: Tensor, tile: Tile
    ) -> Tensor:
        """Give the products."""
        ctx.save_for_backward(tokens, shares, base, vectors)
        ctx.tile = tile
        products = tokens.new_empty(*tokens.shape[:2], len(base))
        buffer = _buffer(base, tile)
        for some, rows in tile.cut(len(tokens), len(base)):
            matrices = _matrices(shares[some], base[rows], vectors[:, rows], buffer)
            write_products(tokens[some], matrices.mT, products[some, :, rows])
        return products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of tokens and shares; base and vectors are constants."""
        tokens, shares, base, vectors = ctx.saved_tensors
        by_tokens, by_shares = torch.zeros_like(tokens), torch.zeros_like(shares)
        buffer = _buffer(base, ctx.tile)
        for some, rows in ctx.tile.cut(len(tokens), len(base)):
            part, inputs = vectors[:, rows], tokens[some]
            gradient = gradients[0][some, :, rows].contiguous()
            matrices = _matrices(shares[some], base[rows], part, buffer)
            by_inputs = torch.empty_like(inputs)
            write_products(gradient, matrices, by_inputs)
            by_tokens[some] += by_inputs
            # The same memory holds the gradient of the matrices, which are no longer needed.
            write_products(gradient.mT, inputs, matrices)
            by_shares[some] += matrices.flatten(1) @ part.flatten(1).mT.to(base.dtype)
        return by_tokens, by_shares, None, None, None


def _buffer(base: Tensor, tile: Tile) -> Tensor:
    """Give memory for a tile; a fresh one each time costs page faults."""
    return base.new_empty(tile.images * tile.rows * base.shape[1])


def _matrices(
    shares: Tensor, base: Tensor, vectors: Tensor, buffer: Tensor
) -> Float[Tensor, "image row inner"]:
    """Write ``base + sum_k shares_ik vectors_k`` of a tile into ``buffer``; give a view of it."""
    made = buffer[: len(shares) * base.numel()].view(len(shares), -1)
    weights, some = shares.to(base.dtype), vectors.flatten(1).to(base.dtype)
    torch.addmm(base.reshape(1, -1), weights, some, out=made)
    return made.view(len(shares), *base.shape)
