"""A step of layer-wise AdaMerging, ours against fusion_bench's, in turns and with equal gradients.

Each side has a process of its own, so that its peak memory is its own. fusion_bench's step is in
float32, its default. The limit of a step is the time of its matrix products, ``limits.step_flops``,
at the rate of a large product in the step's type.
"""

import logging
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from benchmarks import fusion_bench_side, our_side
from benchmarks.limits import matrix_rate, step_flops
from benchmarks.peers import peer
from benchmarks.rows import Row
from benchmarks.side import Side, Took, median
from benchmarks.step_world import World
from benchmarks.towers import SMALL

TARGETS = {1: 4.0, 4: 1.8, 16: 1.2}
BF16_TARGETS = {4: 3.0, 16: 2.5}  # over fusion_bench's float32; asked of a CPU with AMX
_LOG = logging.getLogger(__name__)


class _Sides(NamedTuple):
    """Two processes; the peer's is None where it cannot be had."""

    ours: Side
    theirs: Side | None


def adamerging_step(
    world: World | None = None, sizes: Sequence[int] = tuple(TARGETS), rounds: int = 3
) -> Iterator[Row]:
    """Yield the time and the peak memory of a step at each number of images per task.

    Raises:
        AssertionError: the gradients differ by 1e-3 or more, or by 1e-8 in float64.
        BrokenProcessPool: a side runs out of memory.
    """
    world = world or World()
    fusion_bench = peer("fusion_bench")
    with Side() as ours, Side(fusion_bench and fusion_bench.library) as theirs:
        sides = _Sides(ours, theirs if fusion_bench else None)
        _difference(sides, World(SMALL, num_tasks=3, dtype=torch.float64), 2, below=1e-8)
        rates = {kind: ours.ask(matrix_rate, kind) for kind in (world.dtype, torch.bfloat16)}
        for size in sizes:
            _LOG.info("%d images per task: gradients", size)
            note = _difference(sides, world, size, below=1e-3)
            share = ours.ask(our_side.entropy_share, world, size)
            mine, rounded, other = _medians(sides, world, size, rounds)
            flops = step_flops(world.config, size * world.num_tasks)
            for name, took, kind, targets in (
                ("AdaMerging step", mine, world.dtype, TARGETS),
                ("AdaMerging step in bf16", rounded, torch.bfloat16, BF16_TARGETS),
            ):
                yield Row(
                    f"{name}, {size} per task",
                    took.seconds,
                    peer="fusion_bench",
                    peer_s=other and other.seconds,
                    limit_s=flops / rates[kind],
                    target=targets.get(size),
                    ours_peak_bytes=took.peak_bytes,
                    peer_peak_bytes=other and other.peak_bytes,
                    note=f"{note}; entropy {share:.2f} of its maximum; "
                    f"matrix products at {rates[kind] / 1e9:.0f} GFLOP/s",
                )


def _difference(sides: _Sides, world: World, size: int, *, below: float) -> str:
    """Give the relative difference of both first gradients, in words.

    Raises:
        AssertionError: it is too large.
    """
    mine = sides.ours.ask(our_side.step, world, size).double()
    if sides.theirs is None:
        return "gradients not compared"
    sides.theirs.ask(fusion_bench_side.restart, world)
    other = sides.theirs.ask(fusion_bench_side.step, world, size).double()
    found = ((mine - other).norm() / other.norm()).item()
    assert found < below, f"gradients differ by {found:.1e}, expected less than {below:g}"
    return f"gradients differ by {found:.0e}"


def _medians(sides: _Sides, world: World, size: int, rounds: int) -> tuple[Took, Took, Took | None]:
    """Give what a step takes in our two types and on the peer's side, which take turns."""
    sides.ours.ask(our_side.step, world, size, "bfloat16")
    mine, rounded, other = [], [], []
    for number in range(rounds):
        _LOG.info("%d images per task: round %d of %d", size, number + 1, rounds)
        mine.append(sides.ours.measure(our_side.step, world, size))
        if sides.theirs:
            other.append(sides.theirs.measure(fusion_bench_side.step, world, size))
        rounded.append(sides.ours.measure(our_side.step, world, size, "bfloat16"))
    return median(mine), median(rounded), median(other) if other else None
