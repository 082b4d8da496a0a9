"""Merge and contraction against memory bandwidth: both should read the bank once."""

from collections.abc import Iterator

import torch

from benchmarks.clock import median
from benchmarks.limits import bandwidth
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32, random_bank
from distmerge.spec import TowerConfig
from distmerge.taskvectors import TaskVectors, contract, merge

TARGET = 1.5


def merge_and_contract(config: TowerConfig = VIT_B_32, num_tasks: int = 8) -> Iterator[Row]:
    """Yield both kernels' times beside the time to read ``(K + 1) P`` floats.

    Raises:
        AssertionError: a kernel does not agree with float64 matrix products.
    """
    vectors = random_bank(config, num_tasks)
    shape = (num_tasks, len(vectors.layout.segments))
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.rand(shape, generator=generator, dtype=torch.float64)
    gradient = torch.randn(vectors.layout.num_parameters, generator=generator)
    _check(vectors, coefficients, gradient)
    speed = bandwidth()
    limit = (num_tasks + 1) * vectors.layout.num_parameters * 4 / speed.best
    note = f"memory: {speed.read / 1e9:.1f} GB/s read, {speed.copy / 1e9:.1f} GB/s copied"
    for name, call in (
        ("merge", lambda: merge(vectors, coefficients)),
        ("contract", lambda: contract(vectors, gradient)),
    ):
        yield Row(name, median(call), limit_s=limit, target=TARGET, note=note)


def _check(vectors: TaskVectors, coefficients: torch.Tensor, gradient: torch.Tensor) -> None:
    """Compare with float64, segment by segment, so that no second bank is held."""
    merged, contracted = merge(vectors, coefficients), contract(vectors, gradient)
    for number, segment in enumerate(vectors.layout.segments):
        part = slice(segment.start, segment.stop)
        rows = vectors.vectors[:, part].double()
        exact = vectors.base[part].double() + coefficients[:, number] @ rows
        torch.testing.assert_close(merged[part].double(), exact, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(contracted[:, number], rows @ gradient[part].double())
