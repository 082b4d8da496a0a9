"""Tokens times every image's own matrix: tile by tile, or by the factors of low-rank vectors."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, isqrt
from typing import Any, NamedTuple, TypeAlias

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from distmerge.models.linear import linear

_Tokens: TypeAlias = Float[Tensor, "image token inner"]
_Products: TypeAlias = Float[Tensor, "image token outer"]
_LEAST = 1 << 16  # elements of a tile; of smaller ones a product each costs more than it saves


class Tile(NamedTuple):
    """How much of every image's matrix is made at once."""

    rows: int
    columns: int

    def cut(self, outer: int, inner: int) -> Iterator[tuple[slice, slice]]:
        """Yield the rows and columns of all tiles of a matrix."""
        for row in range(0, outer, self.rows):
            for column in range(0, inner, self.columns):
                yield slice(row, row + self.rows), slice(column, column + self.columns)


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
    """Give a tile as square as may be of which ``images`` fit into ``budget`` bytes; one does.

    A long, thin one would make products of many small pieces, far from what the machine can do.
    """
    elements = max(1, budget // (images * element_bytes))
    columns = ceil(inner / ceil(inner / min(inner, max(isqrt(elements), elements // outer))))
    return Tile(rows=min(outer, max(1, elements // columns)), columns=columns)


def tiled_product(
    tokens: _Tokens,
    shares: Float[Tensor, "image task"],
    base: Float[Tensor, "outer inner"],
    vectors: Float[Tensor, "task outer inner"],
    budget_bytes: int,
) -> _Products:
    """Give ``tokens_i @ (base + sum_k shares_ik vectors_k).T`` for every image i.

    Gradients flow to tokens and shares.

    Task vectors are read once, and a tile of all images' matrices is used while it is in the
    cache. Making the matrices takes ``task * outer * inner`` multiply-adds per image, the products
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
        buffer = _buffer(base, len(tokens), tile)
        for rows, columns in tile.cut(*base.shape):
            matrices = _matrices(shares, base[rows, columns], vectors[:, rows, columns], buffer)
            part, inputs = products[:, :, rows], tokens[:, :, columns]
            _add_products(part, inputs, matrices, onto=int(columns.start > 0))
        return products

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Give the gradients of tokens and shares; base and vectors are constants."""
        tokens, shares, base, vectors = ctx.saved_tensors
        by_tokens, by_shares = torch.zeros_like(tokens), torch.zeros_like(shares)
        buffer = _buffer(base, len(tokens), ctx.tile)
        for rows, columns in ctx.tile.cut(*base.shape):
            some, gradient = vectors[:, rows, columns], gradients[0][:, :, rows]
            matrices = _matrices(shares, base[rows, columns], some, buffer)
            by_tokens[:, :, columns].baddbmm_(gradient, matrices)
            # The same memory holds the gradient of the matrices, which are no longer needed.
            torch.bmm(gradient.mT, tokens[:, :, columns], out=matrices)
            by_row = matrices.transpose(0, 1) @ some.permute(1, 2, 0).to(base.dtype)
            by_shares += by_row.sum(dim=0, dtype=by_shares.dtype)
        return by_tokens, by_shares, None, None, None


def _buffer(base: Tensor, images: int, tile: Tile) -> Tensor:
    """Give memory for a tile of all images' matrices; a fresh one per tile costs page faults."""
    return base.new_empty(images * tile.rows * tile.columns)


def _matrices(
    shares: Tensor, base: Tensor, vectors: Tensor, buffer: Tensor
) -> Float[Tensor, "image row column"]:
    """Write ``base + sum_k shares_ik vectors_k`` of a tile into ``buffer``; give a view of it.

    Every row of the tile is one matrix product: of the shares with that row of all vectors.
    """
    rows, columns = base.shape
    made = buffer[: len(shares) * rows * columns].view(len(shares), rows, columns)
    weights, some = shares.to(base.dtype).expand(rows, -1, -1), vectors.transpose(0, 1)
    torch.baddbmm(base[:, None], weights, some.to(base.dtype), out=made.transpose(0, 1))
    return made


def _add_products(part: Tensor, tokens: Tensor, matrices: Tensor, *, onto: int) -> None:
    """Write ``tokens_i @ matrices_i.T`` into ``part``, or, with ``onto`` 1, add them to it.

    On a CPU one product per image is faster than a batch of them, which torch leaves to MKL.
    """
    if part.device.type != "cpu" or matrices[0].numel() < _LEAST:
        torch.baddbmm(part, tokens, matrices.mT, beta=onto, out=part)
        return
    for place, some, matrix in zip(part, tokens, matrices, strict=True):
        found = linear(some, matrix)
        place.add_(found) if onto else place.copy_(found)
