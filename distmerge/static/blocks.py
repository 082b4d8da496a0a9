"""Models block by block: parameters come in from disk, merged parameters go out."""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float32

from distmerge.errors import CheckpointError
from distmerge.spec import Selection
from distmerge.static.files import ModelFile
from distmerge.static.tally import Aggregate, Tally, Votes
from distmerge.threshold import INFINITY_BITS, Bits, guessed, kth_largest

_BLOCK = 1 << 18  # parameters per step: what a thread works on stays in the cache
_SAMPLED = 64  # one of so many parameters is looked at to guess a threshold
_MOST_SAMPLED = 1 << 22  # about: of larger models fewer are, as every thread holds its sample
_THREADS = min(8, max(2, os.cpu_count() or 1))  # two on one core: one reads, one computes
_LARGEST = float(np.finfo(np.float32).max)
_VARIANCE = "running_var"  # of batch norms, which take its square root

Item = TypeVar("Item")
Result = TypeVar("Result")


class Block(NamedTuple):
    """Some parameters of one tensor, by flat index."""

    tensor: str
    first: int
    stop: int


class Trim(NamedTuple):
    """Per task the smallest magnitude that is kept, and what becomes of those that agree."""

    thresholds: Sequence[np.float32]
    aggregate: Aggregate


class _Room(threading.local):
    """Where a block is worked on, each thread its own."""

    def __init__(self) -> None:
        self.base = np.empty(_BLOCK, np.float32)
        self.vector = np.empty(_BLOCK, np.float32)
        self.tally = Tally(_BLOCK)


@dataclass(frozen=True)
class Models:
    """A base and fine-tuned models on disk, which were checked to be of one architecture."""

    base: ModelFile
    tuned: Sequence[ModelFile]
    _room: _Room = field(default_factory=_Room)

    def blocks(self) -> list[Block]:
        """Give all parameters."""
        return [
            Block(name, first, min(first + _BLOCK, place.size))
            for name, place in self.base.floats.items()
            for first in range(0, place.size, _BLOCK)
        ]

    @np.errstate(over="ignore", invalid="ignore")  # what is not finite is named as an error
    def merged(
        self, block: Block, coefficient: float, trim: Trim | None, majority: int
    ) -> tuple[Float32[np.ndarray, " parameter"], Votes]:
        """Give ``base + coefficient * sum``, rounded once, and how the block's signs were elected.

        A running variance below zero becomes zero. The thread's next block overwrites the result.

        Args:
            block: which parameters.
            coefficient: of the sum of task vectors, or of what TIES makes of them.
            trim: of TIES.
            majority: what parameters elect whose values cancel each other out, 1 or -1.

        Raises:
            CheckpointError: a model holds NaN or infinity there.
        """
        tally, base = self._room.tally, self._base(block)
        tally.clear(len(base))
        for index, model in enumerate(self.tuned):
            vector = self._vector(model, block, base)
            if trim is None:
                tally.add(vector)
            else:
                tally.add_trimmed(vector, trim.thresholds[index], trim.aggregate)
        votes = tally.votes
        sums = tally.sums() if trim is None else tally.aggregated(majority, trim.aggregate)
        sums *= coefficient
        sums += base
        if block.tensor.endswith(_VARIANCE):
            np.maximum(sums, 0, out=sums)
        base[:] = sums
        if not np.isfinite(base).all():
            raise CheckpointError(self._blamed(block))
        return base, votes

    def trim(self, selection: Selection) -> Trim:
        """Give what TIES trims, from one pass over each task vector, or few.

        Raises:
            CheckpointError: a model holds NaN or infinity.
        """
        thresholds = in_threads(lambda model: self._threshold(model, selection), self.tuned)
        return Trim(thresholds, selection.aggregate)

    def _threshold(self, model: ModelFile, selection: Selection) -> np.float32:
        every = self.blocks()
        size = _size(every)
        rank, step = selection.kept(size), max(_SAMPLED, size // _MOST_SAMPLED)
        some = [
            block._replace(stop=block.first + 1 + (block.stop - block.first - 1) // step)
            for block in every
        ]
        sample, filled = np.empty(_size(some), np.uint32), 0
        for bits in self._magnitudes(model, some):
            sample[filled : filled + len(bits)] = bits
            filled += len(bits)
        guess = guessed(sample, rank / size)
        return kth_largest(lambda: self._magnitudes(model, every), rank, guess)

    def _magnitudes(self, model: ModelFile, chosen: Sequence[Block]) -> Iterator[Bits]:
        for block in chosen:
            with np.errstate(over="ignore", invalid="ignore"):
                vector = self._vector(model, block, self._base(block))
                bits = np.abs(vector, out=vector).view(np.uint32)
            if bits.max() >= INFINITY_BITS:
                raise CheckpointError(self._blamed(block))
            yield bits

    def _base(self, block: Block) -> Float32[np.ndarray, " parameter"]:
        base = self._room.base[: block.stop - block.first]
        self.base.read(block.tensor, block.first, base)
        return base

    def _vector(
        self, model: ModelFile, block: Block, base: Float32[np.ndarray, " parameter"]
    ) -> Float32[np.ndarray, " parameter"]:
        vector = self._room.vector[: len(base)]
        model.read(block.tensor, block.first, vector)
        vector -= base
        return vector

    @np.errstate(over="ignore", invalid="ignore")
    def _blamed(self, block: Block) -> str:
        """Give which models are not finite in a block, or that their combination is not."""
        vector = self._room.vector[: block.stop - block.first]
        found = []
        for model in (self.base, *self.tuned):
            model.read(block.tensor, block.first, vector)
            if not np.isfinite(vector).all():
                wide = model.tensors[block.tensor].dtype == "F64"
                beyond = f", or a value over float32's {_LARGEST:.1e}" if wide else ""
                found.append(f"{model.path}: {block.tensor}: holds NaN or infinity{beyond}")
        overflow = f"{block.tensor}: the models' differences are too large for float32"
        return "; ".join(found) or overflow


def _size(blocks: Sequence[Block]) -> int:
    return sum(block.stop - block.first for block in blocks)


def in_threads(work: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Give the results of ``work``, in order; reading, computing and writing overlap.

    After an error no further item is begun.
    """
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(work, items))
