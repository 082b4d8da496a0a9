"""What tasks add up to at each parameter of a block, one task after the other."""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float32, Float64

Aggregate = Literal["sum", "mean", "max"]


class Votes(NamedTuple):
    """How a block's parameters elected their signs."""

    balance: int
    """Parameters that elected plus, less those that elected minus."""
    tied: bool
    """Whether values of some parameter cancel each other out: the majority decides there."""


class Tally:
    """Room for the parameters of one block; sums are in float64.

    TIES needs no task's values twice. With ``s`` the sum of what trimming left of a parameter and
    ``a`` the sum of its magnitudes, those of the elected sign ``e`` sum up to ``(s + e a) / 2``;
    likewise their number from the sum of signs and the number of values.
    """

    _total: Float64[np.ndarray, " parameter"]
    _mass: Float64[np.ndarray, " parameter"]
    _elected: Float64[np.ndarray, " parameter"]

    def __init__(self, capacity: int) -> None:
        """Reserve room for ``capacity`` parameters."""
        self._sums = np.empty((3, capacity))
        self._singles = np.empty((5, capacity), np.float32)
        self._kept = np.empty(capacity, np.bool_)
        self.clear(capacity)

    def clear(self, length: int) -> None:
        """Start a block of ``length`` parameters."""
        self._sums[:2, :length] = 0
        self._singles[1:, :length] = 0
        self._total, self._mass, self._elected = self._sums[:, :length]
        parts = self._singles[:, :length]
        self._magnitudes, self._signs, self._numbers, self._highest, self._lowest = parts

    def add(self, vector: Float32[np.ndarray, " parameter"]) -> None:
        """Add a task vector."""
        self._total += vector

    def add_trimmed(
        self,
        vector: Float32[np.ndarray, " parameter"],
        threshold: np.float32,
        aggregate: Aggregate,
    ) -> None:
        """Add what reaches the threshold; ``vector`` is overwritten."""
        kept = self._kept[: len(vector)]
        np.abs(vector, out=self._magnitudes)
        np.greater_equal(self._magnitudes, threshold, out=kept)
        vector *= kept
        self._magnitudes *= kept
        self._total += vector
        self._mass += self._magnitudes
        if aggregate == "max":
            np.maximum(self._highest, vector, out=self._highest)
            np.minimum(self._lowest, vector, out=self._lowest)
        elif aggregate == "mean":
            np.sign(vector, out=vector)
            self._signs += vector
            np.abs(vector, out=vector)
            self._numbers += vector

    @property
    def votes(self) -> Votes:
        """How the signs were elected."""
        nonzero, plus = np.count_nonzero(self._total), np.count_nonzero(self._total > 0)
        return Votes(2 * int(plus) - int(nonzero), bool(nonzero != np.count_nonzero(self._mass)))

    def sums(self) -> Float64[np.ndarray, " parameter"]:
        """Give the sums of what was added; the block is used up."""
        return self._total

    def aggregated(self, majority: int, aggregate: Aggregate) -> Float64[np.ndarray, " parameter"]:
        """Give sum, mean or largest of the values of the elected sign; the block is used up.

        Source: TIES-Merging, arXiv:2306.01708, algorithm 1; algorithms.md 3.3.

        Args:
            majority: 1 or -1, elected where the sum is zero.
            aggregate: which of the three.
        """
        elected = self._elected
        np.sign(self._total, out=elected)
        np.copyto(elected, majority, where=self._total == 0)
        if aggregate == "max":
            np.copyto(self._highest, self._lowest, where=elected < 0)
            elected[:] = self._highest
            return elected
        twice: Float32[np.ndarray, " parameter"] | float = 2.0
        if aggregate == "mean":
            self._signs *= elected
            self._signs += self._numbers
            twice = np.maximum(self._signs, 2, out=self._signs)
        elected *= self._mass
        elected += self._total
        elected /= twice
        return elected
