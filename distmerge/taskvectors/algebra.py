"""The two kernels of merging: coefficients to weights, and weight gradients to coefficients."""

import torch
from jaxtyping import Float, Float64
from torch import Tensor

from distmerge.taskvectors.bank import TaskVectors

# Parameters per step on a CPU: the part of the result stays in the last cache while every task's
# vector is read once. On an accelerator a segment is one step, since starting one costs more.
_CHUNK = 1 << 21


@torch.no_grad()
def merge(
    bank: TaskVectors,
    coefficients: Float[Tensor, "task segment"],
    out: Float[Tensor, " parameter"] | None = None,
) -> Float[Tensor, " parameter"]:
    """Give ``base + sum_k coefficients[k, l] * vectors[k]`` on every segment l, tasks in order.

    Sums are of the base's type. No autograd graph is built: use ``contract`` for the gradient.
    Source: algorithms.md 2.1.

    Args:
        bank: base and task vectors.
        coefficients: of every task on every segment.
        out: takes the result, rounded to its type, which may be shorter than the base's.
    """
    merged = torch.empty_like(bank.base) if out is None else out
    (_merge_chunks if bank.base.device.type == "cpu" else _merge_segments)(
        bank, coefficients.detach(), merged
    )
    return merged


def average(bank: TaskVectors) -> Float[Tensor, " parameter"]:
    """Give the mean of all models, the base not among them. Source: algorithms.md 3.1."""
    return merge(bank, uniform(bank))


def uniform(bank: TaskVectors) -> Float64[Tensor, "task segment"]:
    """Give coefficients of ``1/K`` on every segment."""
    shape = (len(bank.tasks), len(bank.layout.segments))
    return torch.full(shape, 1 / len(bank.tasks), dtype=torch.float64)


@torch.no_grad()
def contract(
    bank: TaskVectors, gradient: Float[Tensor, " parameter"]
) -> Float64[Tensor, "task segment"]:
    """Give ``<gradient_l, vectors[k]_l>``: the loss's gradient by the merging coefficients.

    Sums over chunks are float64. Source: algorithms.md 2.2, the chain rule through ``merge``.
    """
    on_cpu = bank.base.device.type == "cpu"
    return (_contract_chunks if on_cpu else _contract_segments)(bank, gradient)


def _merge_chunks(bank: TaskVectors, coefficients: Tensor, out: Tensor) -> None:
    """Add task after task to a part of the result that is in the cache."""
    columns, vectors = coefficients.double().T.tolist(), bank.vectors.unbind()
    rounded = torch.empty(_CHUNK, dtype=bank.base.dtype) if out.dtype != bank.base.dtype else None
    for segment, column in zip(bank.layout.segments, columns, strict=True):
        for start in range(segment.start, segment.stop, _CHUNK):
            stop = min(start + _CHUNK, segment.stop)
            part = out[start:stop] if rounded is None else rounded[: stop - start]
            total = bank.base[start:stop]
            for vector, coefficient in zip(vectors, column, strict=True):
                total = torch.add(total, vector[start:stop], alpha=coefficient, out=part)
            if rounded is not None:
                out[start:stop] = part


def _merge_segments(bank: TaskVectors, coefficients: Tensor, out: Tensor) -> None:
    """Weigh all tasks' segments in one call each; nothing waits for the accelerator."""
    columns = coefficients.T.to(bank.base.device, bank.base.dtype)
    for segment, column in zip(bank.layout.segments, columns, strict=True):
        part = slice(segment.start, segment.stop)
        vectors = bank.vectors[:, part].to(bank.base.dtype)
        out[part] = torch.addmv(bank.base[part], vectors.mT, column)


def _contract_chunks(bank: TaskVectors, gradient: Tensor) -> Tensor:
    """Take every task's product with a part of the gradient that is in the cache."""
    columns = []
    for segment in bank.layout.segments:
        products = []
        edges = range(segment.start, segment.stop, _CHUNK)
        for start in edges:
            part = slice(start, min(start + _CHUNK, segment.stop))
            own = gradient[part]
            products += [torch.dot(v.to(own.dtype), own) for v in bank.vectors[:, part].unbind()]
        columns.append(torch.stack(products).double().view(len(edges), -1).sum(dim=0))
    return torch.stack(columns, dim=1)


def _contract_segments(bank: TaskVectors, gradient: Tensor) -> Tensor:
    """Take all tasks' products with a segment in one call; nothing waits for the accelerator."""
    columns = []
    for segment in bank.layout.segments:
        part = slice(segment.start, segment.stop)
        columns.append(bank.vectors[:, part].to(gradient.dtype) @ gradient[part])
    return torch.stack(columns, dim=1).double()
