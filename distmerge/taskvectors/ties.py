"""TIES on the bank: trim, elect, select. What is left is a bank like any other."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.spec import Selection
from distmerge.taskvectors.bank import TaskVectors

_CHUNK = 1 << 18  # parameters per step, of all tasks


def selected(vectors: TaskVectors, selection: Selection) -> TaskVectors:
    """Give the task vectors that TIES leaves, such that coefficient 1 for all aggregates them.

    Trim keeps each task's largest magnitudes over the whole vector; elect takes the sign of the
    sum of what is left, or the majority sign where that sum is zero (negative if there is none);
    select keeps what has the elected sign. Source: arXiv:2306.01708; algorithms.md 3.3.

    Departs: the density is a fraction, never a percentage; ties with the threshold are kept.
    """
    kept = selection.kept(vectors.layout.num_parameters)
    thresholds = torch.stack([_threshold(row, kept) for row in vectors.vectors])
    majority = _majority(vectors.vectors, thresholds)
    result = torch.empty_like(vectors.vectors)
    for start in range(0, result.shape[1], _CHUNK):
        columns = slice(start, start + _CHUNK)
        trimmed = _trimmed(vectors.vectors[:, columns].float(), thresholds)
        result[:, columns] = _selected(trimmed, majority, selection.aggregate)
    return replace(vectors, vectors=result, selection=selection)


def _threshold(row: Float[Tensor, " parameter"], kept: int) -> Float[Tensor, ""]:
    """Give the ``kept``-th largest magnitude, by selection and not by sorting."""
    return row.float().abs().kthvalue(len(row) - kept + 1).values


def _trimmed(
    block: Float[Tensor, "task parameter"], thresholds: Float[Tensor, " task"]
) -> Float[Tensor, "task parameter"]:
    return block * (block.abs() >= thresholds[:, None])


def _signs(trimmed: Float[Tensor, "task parameter"]) -> Float[Tensor, " parameter"]:
    return trimmed.double().sum(dim=0).sign().to(trimmed.dtype)


def _majority(
    vectors: Float[Tensor, "task parameter"], thresholds: Float[Tensor, " task"]
) -> float:
    """Give the sign that most parameters elect, for those whose sum is zero."""
    total = 0.0
    for start in range(0, vectors.shape[1], _CHUNK):
        block = vectors[:, start : start + _CHUNK].float()
        total += _signs(_trimmed(block, thresholds)).double().sum().item()
    return 1.0 if total > 0 else -1.0


def _selected(
    trimmed: Float[Tensor, "task parameter"], majority: float, aggregate: str
) -> Float[Tensor, "task parameter"]:
    signs = _signs(trimmed)
    elected = torch.where(signs == 0, majority, signs)
    kept = trimmed * (trimmed.sign() == elected)
    if aggregate == "mean":
        return kept / (kept != 0).sum(dim=0).clamp(min=1)
    if aggregate == "max":
        first = kept.abs().argmax(dim=0, keepdim=True)
        return torch.zeros_like(kept).scatter_(0, first, kept.gather(0, first))
    return kept
