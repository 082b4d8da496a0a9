"""Merge and contraction against memory bandwidth: both should read the bank once."""

from typing import NamedTuple

import torch

from benchmarks.clock import median
from distmerge.taskvectors import Layout, TaskVectors, contract, merge


class Result(NamedTuple):
    """Seconds of ours and of the limit, medians of the same run."""

    name: str
    ours_s: float
    limit_s: float

    @property
    def ratio(self) -> float:
        """How many times the limit we need."""
        return self.ours_s / self.limit_s


def bank(num_tasks: int, num_parameters: int, num_segments: int) -> TaskVectors:
    """Give random task vectors in equal segments."""
    generator = torch.Generator().manual_seed(0)
    size = num_parameters // num_segments
    layout = Layout.of({f"tensor{i}": torch.Size([size]) for i in range(num_segments)})
    base = torch.randn(layout.num_parameters, generator=generator)
    vectors = torch.randn(num_tasks, layout.num_parameters, generator=generator)
    return TaskVectors(tuple(f"task{k}" for k in range(num_tasks)), layout, base, vectors)


def measure(num_tasks: int = 8, num_parameters: int = 20_000_000) -> list[Result]:
    """Give both kernels' times beside the time to read their bytes at copy speed.

    Raises:
        AssertionError: a kernel does not agree with float64 matrix products.
    """
    vectors = bank(num_tasks, num_parameters, num_segments=152)
    coefficients = torch.full((num_tasks, 152), 0.3, dtype=torch.float64)
    _check(vectors, coefficients)
    read = (num_tasks + 1) * vectors.layout.num_parameters * 4
    limit = read / _bandwidth()
    gradient = vectors.base
    return [
        Result("merge", median(lambda: merge(vectors, coefficients)), limit),
        Result("contract", median(lambda: contract(vectors, gradient)), limit),
    ]


def _check(vectors: TaskVectors, coefficients: torch.Tensor) -> None:
    exact = vectors.base.double() + 0.3 * vectors.vectors.double().sum(dim=0)
    torch.testing.assert_close(merge(vectors, coefficients).double(), exact, rtol=1e-5, atol=1e-5)
    products = (vectors.vectors.double() * vectors.base.double()).sum(dim=1)
    torch.testing.assert_close(contract(vectors, vectors.base).sum(dim=1), products)


def _bandwidth() -> float:
    """Give bytes per second that one pass reads, from a large copy (which also writes)."""
    source = torch.ones(64 << 20)
    target = torch.empty_like(source)
    return 2 * source.nbytes / median(lambda: target.copy_(source))
