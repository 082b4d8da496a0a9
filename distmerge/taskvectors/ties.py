"""TIES on the bank: trim, elect, select. What is left is a bank like any other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from distmerge.spec import Selection
from distmerge.taskvectors.bank import TaskVectors
from distmerge.threshold import Bits, guessed, kth_largest

_CHUNK = 1 << 15  # parameters per step, of all tasks; torch starts no threads for so few
_SAMPLED = 64  # one of so many parameters is looked at to guess a threshold
_T = TypeVar("_T")


def selected(vectors: TaskVectors, selection: Selection) -> TaskVectors:
    """Give the task vectors that TIES leaves, such that coefficient 1 for all aggregates them.

    Trim keeps each task's largest magnitudes over the whole vector; elect takes the sign of the
    sum of what is left, or the majority sign where that sum is zero (negative if there is none);
    select keeps what has the elected sign. Source: arXiv:2306.01708; algorithms.md 3.3.

    Departs: the density is a fraction, never a percentage; ties with the threshold are kept.
    """
    rows = vectors.vectors
    kept = selection.kept(vectors.layout.num_parameters)
    thresholds = _in_threads(partial(_threshold, kept=kept), rows)
    blocks = rows.split(_CHUNK, dim=1)
    balance = sum(_in_threads(partial(_balance, thresholds=thresholds), blocks))
    majority = 1 if balance > 0 else -1
    result = torch.empty_like(rows)
    select = partial(_select, thresholds=thresholds, majority=majority, how=selection.aggregate)
    _in_threads(select, blocks, result.split(_CHUNK, dim=1))
    return replace(vectors, vectors=result, selection=selection)


def _in_threads(work: Callable[..., _T], *items: Iterable[Tensor]) -> list[_T]:
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        return list(pool.map(work, *items))


def _threshold(row: Float[Tensor, " parameter"], kept: int) -> np.float32:
    """Give the ``kept``-th largest magnitude."""
    guess = guessed(_magnitudes(row[::_SAMPLED]), kept / len(row))
    return kth_largest(lambda: map(_magnitudes, row.split(_CHUNK)), kept, guess)


def _magnitudes(values: Float[Tensor, " parameter"]) -> Bits:
    magnitudes: np.ndarray = np.abs(values.float().cpu().numpy())
    return magnitudes.view(np.uint32)


def _trimmed(
    block: Float[Tensor, "task parameter"], thresholds: Sequence[np.float32]
) -> Iterator[Float[Tensor, " parameter"]]:
    """Yield every task's values, zero where they do not reach the task's threshold."""
    for row, threshold in zip(block, thresholds, strict=True):
        below = np.nextafter(threshold, np.float32(-1))  # what is equal to it is not kept
        yield torch.hardshrink(row.float(), float(below))


def _balance(block: Float[Tensor, "task parameter"], thresholds: Sequence[np.float32]) -> float:
    """Give how many parameters elect plus, less those that elect minus."""
    total = torch.zeros(block.shape[1], dtype=torch.float64, device=block.device)
    for row in _trimmed(block, thresholds):
        total += row
    return total.sign().sum().item()


def _select(
    block: Float[Tensor, "task parameter"],
    place: Float[Tensor, "task parameter"],
    *,
    thresholds: Sequence[np.float32],
    majority: int,
    how: str,
) -> None:
    """Fill ``place`` with what has the elected sign; ``majority`` is that of a zero sum."""
    total = torch.zeros(block.shape[1], dtype=torch.float64, device=block.device)
    for row, kept in zip(_trimmed(block, thresholds), place, strict=True):
        total += row
        kept.copy_(row)
    plus = total >= 0 if majority > 0 else total > 0
    lowest = torch.zeros_like(total, dtype=place.dtype).masked_fill_(~plus, -torch.inf)
    highest = torch.zeros_like(total, dtype=place.dtype).masked_fill_(plus, torch.inf)
    for kept in place:
        torch.clamp(kept, lowest, highest, out=kept)
    if how == "mean":
        place.copy_(place / (place != 0).sum(dim=0).clamp(min=1).float())
    elif how == "max":
        first = place.abs().argmax(dim=0, keepdim=True)
        largest = place.gather(0, first)
        place.zero_().scatter_(0, first, largest)
