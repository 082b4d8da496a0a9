"""TIES and a routed forward pass in memory, ours against fusion_bench's, on the same numbers."""

import logging
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from benchmarks import fusion_bench_side, our_side
from benchmarks.peers import peer
from benchmarks.rows import Row
from benchmarks.side import Side, Took, median
from benchmarks.step_world import World

_LOG = logging.getLogger(__name__)


def ties_in_memory(world: World | None = None, rounds: int = 2) -> Iterator[Row]:
    """Yield the time from task vectors to weights merged by TIES; no target asks for it.

    One side follows the other: a machine of 24 GB does not hold both at once.

    Raises:
        AssertionError: the merged weights differ.
        BrokenProcessPool: a side runs out of memory.
    """
    yield _compared("ties", our_side.ties, fusion_bench_side.ties, world or World(), rounds)


def routing_in_memory(world: World | None = None, rounds: int = 3) -> Iterator[Row]:
    """Yield the time of a forward pass in which 16 images have weights of their own.

    Raises:
        AssertionError: the features differ.
        BrokenProcessPool: a side runs out of memory.
    """
    name, ours = "routed forward, fusion_bench's", our_side.routed
    yield _compared(name, ours, fusion_bench_side.routed, world or World(), rounds)


def _compared(
    name: str,
    ours: Callable[[World], Tensor],
    theirs: Callable[[World], Tensor],
    world: World,
    rounds: int,
) -> Row:
    _LOG.info("%s: ours", name)
    with Side() as side:
        expected, mine = _measured(side, ours, world, rounds)
    fusion_bench = peer("fusion_bench")
    other = None
    if fusion_bench:
        _LOG.info("%s: fusion_bench's", name)
        with Side(fusion_bench.library) as side:
            found, other = _measured(side, theirs, world, rounds)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
    return Row(
        name,
        mine.seconds,
        peer="fusion_bench",
        peer_s=other and other.seconds,
        ours_peak_bytes=mine.peak_bytes,
        peer_peak_bytes=other and other.peak_bytes,
        note="in memory, one side after the other",
    )


def _measured(
    side: Side, call: Callable[[World], Tensor], world: World, rounds: int
) -> tuple[Tensor, Took]:
    """Give what a call gives and, of later ones, what it takes."""
    return side.ask(call, world), median([side.measure(call, world) for _ in range(rounds)])
