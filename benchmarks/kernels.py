"""Merge and contraction against memory bandwidth: both should read the bank once."""

from collections.abc import Iterator

import torch

from benchmarks.clock import medians
from benchmarks.limits import bandwidth
from benchmarks.rows import Row
from benchmarks.towers import VIT_B_32, random_bank
from distmerge.spec import TowerConfig
from distmerge.taskvectors import TaskVectors, contract, merge

TARGET = 1.5


def merge_and_contract(config: TowerConfig = VIT_B_32, num_tasks: int = 8) -> Iterator[Row]:
    """Yield both kernels' times beside the time to sum up the ``(K + 1) P`` floats that they read.

    Raises:
        AssertionError: a kernel does not agree with float64 matrix products.
    """
    vectors = random_bank(config, num_tasks)
    shape = (num_tasks, len(vectors.layout.segments))
    generator = torch.Generator().manual_seed(0)
    coefficients = torch.rand(shape, generator=generator, dtype=torch.float64)
    gradient = torch.randn(vectors.layout.num_parameters, generator=generator)
    _check(vectors, coefficients, gradient)
    place = torch.empty_like(vectors.base)  # as steps have it
    speed = bandwidth()
    # All three take turns: on a shared machine the bandwidth changes from second to second.
    merged, contracted, read = medians(
        lambda: merge(vectors, coefficients, place),
        lambda: contract(vectors, gradient),
        lambda: (vectors.vectors.sum(), vectors.base.sum()),
    )
    size = vectors.vectors.nbytes + vectors.base.nbytes
    note = (
        f"the limit reads these {size / 1e9:.2f} GB at {size / read / 1e9:.1f} GB/s; 1 GiB alone: "
        f"{speed.read / 1e9:.1f} GB/s read, {speed.copy / 1e9:.1f} GB/s copied"
    )
    yield Row("merge", merged, limit_s=read, target=TARGET, note=note)
    yield Row("contract", contracted, limit_s=read, target=TARGET, note=note)


def _check(vectors: TaskVectors, coefficients: torch.Tensor, gradient: torch.Tensor) -> None:
    """Compare with float64, segment by segment, so that no second bank is held."""
    merged, contracted = merge(vectors, coefficients), contract(vectors, gradient)
    for number, segment in enumerate(vectors.layout.segments):
        part = slice(segment.start, segment.stop)
        rows = vectors.vectors[:, part].double()
        exact = vectors.base[part].double() + coefficients[:, number] @ rows
        torch.testing.assert_close(merged[part].double(), exact, rtol=1e-5, atol=1e-5)
        exact = rows @ gradient[part].double()
        torch.testing.assert_close(contracted[:, number], exact, rtol=1e-5, atol=2e-5)
