"""Task vectors of matrices as the factors of a truncated SVD, where that is cheaper and close."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Float64, Int64
from torch import Tensor

from distmerge.models import Factors, initialised, most_ranks
from distmerge.taskvectors.bank import TaskVectors

_ITERATIONS = 2  # of the subspace; more find what slowly falling singular values hide


@dataclass(frozen=True)
class LowRank:
    """Which matrices' task vectors are factors, and what that loses."""

    bound: float
    """Of the relative error (Frobenius norm) of every task's vector of every matrix; 0: exact."""
    factors: Mapping[str, Factors] = field(default_factory=dict)
    errors: Mapping[str, float] = field(default_factory=dict)
    """By task: the relative error of its whole vector, in the Euclidean norm."""


class _Spectrum(NamedTuple):
    """The largest singular values of every task's matrix, and what is behind them."""

    left: Float[Tensor, "task outer rank"]
    values: Float[Tensor, "task rank"]
    right: Float[Tensor, "task rank inner"]
    norms: Float64[Tensor, " task"]
    """Of the matrices."""
    rest: Float64[Tensor, " task"]
    """Norms of what these ranks leave out."""

    def tails(self) -> Float64[Tensor, "task kept"]:
        """Give the squared error of keeping 0, 1, ... ranks."""
        squares = torch.cat([self.values.double().square(), self.rest[:, None].square()], dim=1)
        return squares.flip(1).cumsum(1).flip(1)


def low_rank(bank: TaskVectors, bound: float, tokens: Mapping[str, int]) -> LowRank:
    """Give the factors of every matrix that they make cheaper, within ``bound``.

    The same bank gives the same factors. Those of a bfloat16 bank are of its rounded vectors, and
    rounding alone, which is of full rank, is an error of about 0.002.

    Args:
        bank: the task vectors.
        bound: of the relative error of every task's vector of every matrix; 0: none is factored.
        tokens: the matrices' names, and how many tokens of an image each meets.
    """
    if not bound:
        return LowRank(bound)
    factors = {}
    lost, whole = torch.zeros(2, len(bank.tasks), dtype=torch.float64, device=bank.vectors.device)
    for segment in bank.layout.segments:
        vectors = bank.vectors[:, segment.start : segment.stop]
        whole += torch.linalg.vector_norm(vectors, dim=1, dtype=torch.float64).square()
        if segment.name not in tokens:
            continue
        matrices = vectors.float().view(len(vectors), segment.shape[0], -1)
        found = _factored(matrices, bound, tokens[segment.name])
        if found is not None:
            factors[segment.name] = found[0]
            lost += found[1]
    errors = (lost / whole.clamp(min=torch.finfo(torch.float64).tiny)).sqrt().tolist()
    return LowRank(bound, factors, dict(zip(bank.tasks, errors, strict=True)))


def _factored(
    matrices: Float[Tensor, "task outer inner"], bound: float, tokens: int
) -> tuple[Factors, Float64[Tensor, " task"]] | None:
    """Give factors and every task's squared error, or None where too many ranks are needed.

    A few ranks tell most matrices apart that need too many; more are looked at for the others.
    """
    tasks, outer, inner = matrices.shape
    most = most_ranks(outer, inner, tokens=tokens, tasks=tasks)
    for asked in (math.ceil(most / tasks) + 1, most):
        found = _spectrum(matrices, min(asked, outer, inner))
        tails = found.tails()
        kept = (tails > (bound * found.norms[:, None]).square()).sum(dim=1)
        if int(kept.sum()) > most:
            return None
        if bool((kept < tails.shape[1]).all()):
            return _kept(found, kept), tails.gather(1, kept[:, None])[:, 0]
    return None


def _kept(found: _Spectrum, kept: Int64[Tensor, " task"]) -> Factors:
    counts = kept.tolist()
    scaled = (found.left * found.values[:, None]).mT
    return Factors(
        left=torch.cat([some[:count] for some, count in zip(scaled, counts, strict=True)]),
        right=torch.cat([some[:count] for some, count in zip(found.right, counts, strict=True)]),
        tasks=torch.arange(len(counts), device=kept.device).repeat_interleave(kept),
    )


def _spectrum(matrices: Float[Tensor, "task outer inner"], ranks: int) -> _Spectrum:
    """Give the ``ranks`` largest singular values and vectors of every task's matrix.

    Source: Halko et al., arXiv:0909.4061, algorithms 4.4 and 5.1. The error is measured, not
    estimated: what is left out is orthogonal to what is kept.
    """
    inner = matrices.shape[2]
    start = initialised(lambda: torch.randn(inner, ranks), 0, "low rank").to(matrices.device)
    basis = torch.linalg.qr(matrices @ start).Q
    for _ in range(_ITERATIONS):
        basis = torch.linalg.qr(matrices @ torch.linalg.qr(matrices.mT @ basis).Q).Q
    within = basis.mT @ matrices
    left, values, right = torch.linalg.svd(within, full_matrices=False)
    whole, rest = (
        torch.linalg.vector_norm(part, dim=(1, 2), dtype=torch.float64)
        for part in (matrices, matrices - basis @ within)
    )
    return _Spectrum(basis @ left, values, right, whole, rest)
