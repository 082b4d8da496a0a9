"""The two kernels of merging: coefficients to weights, and weight gradients to coefficients."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from distmerge.taskvectors.bank import TaskVectors

_CHUNK = 1 << 16  # parameters per step: K + 1 rows of 256 KiB stay in a core's cache


def merge(
    bank: TaskVectors, coefficients: Float[Tensor, "task segment"]
) -> Float[Tensor, " parameter"]:
    """Give ``base + sum_k coefficients[k, l] * vectors[k]`` on every segment l, tasks in order.

    No autograd graph is built: use ``contract`` for the gradient. Source: algorithms.md 2.1.
    """
    merged = bank.base.clone()
    columns = coefficients.detach().double().T.tolist()
    for segment, column in zip(bank.layout.segments, columns, strict=True):
        for start in range(segment.start, segment.stop, _CHUNK):
            stop = min(start + _CHUNK, segment.stop)
            part = merged[start:stop]
            for vector, coefficient in zip(bank.vectors, column, strict=True):
                part.add_(vector[start:stop], alpha=coefficient)
    return merged


def average(bank: TaskVectors) -> Float[Tensor, " parameter"]:
    """Give the mean of all models, the base not among them. Source: algorithms.md 3.1."""
    return merge(bank, uniform(bank))


def uniform(bank: TaskVectors) -> Float64[Tensor, "task segment"]:
    """Give coefficients of ``1/K`` on every segment."""
    shape = (len(bank.tasks), len(bank.layout.segments))
    return torch.full(shape, 1 / len(bank.tasks), dtype=torch.float64)


def contract(
    bank: TaskVectors, gradient: Float[Tensor, " parameter"]
) -> Float64[Tensor, "task segment"]:
    """Give ``<gradient_l, vectors[k]_l>``: the loss's gradient by the merging coefficients.

    Products are summed in float64. Source: algorithms.md 2.2, the chain rule through ``merge``.
    """
    columns = []
    for segment in bank.layout.segments:
        total = torch.zeros(len(bank.tasks), dtype=torch.float64, device=gradient.device)
        for start in range(segment.start, segment.stop, _CHUNK):
            stop = min(start + _CHUNK, segment.stop)
            total += bank.vectors[:, start:stop].double() @ gradient[start:stop].double()
        columns.append(total)
    return torch.stack(columns, dim=1)
