"""The k-th largest magnitude of numbers that come block by block, exactly and in bounded memory.

The bits of a float that is not negative, read as a whole number, are in the floats' order.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt32

Bits = UInt32[np.ndarray, " value"]

INFINITY_BITS = int(np.float32(np.inf).view(np.uint32))
_BINS = 20  # as a power of two: 8 MiB of counts
_MARGIN = 0.01  # of all numbers: how far off the guess from a sample may be on either side


class Span(NamedTuple):
    """Bit patterns from ``low`` on and below ``high``."""

    low: int
    high: int


_ALL = Span(0, 1 << 31)


def guessed(sample: Bits, share: float) -> Span:
    """Give where the threshold probably lies that ``share`` of all numbers reach.

    Args:
        sample: some of the numbers; it is reordered.
        share: in (0, 1].
    """
    middle, margin = (1 - share) * len(sample), _MARGIN * len(sample)
    low, high = int(middle - margin), int(np.ceil(middle + margin))
    places = [place for place in (low, high) if 0 <= place < len(sample)]
    if places:
        sample.partition(places)
    return Span(
        int(sample[low]) if low >= 0 else _ALL.low,
        int(sample[high]) + 1 if high < len(sample) else _ALL.high,
    )


def kth_largest(blocks: Callable[[], Iterable[Bits]], rank: int, guess: Span = _ALL) -> np.float32:
    """Give the ``rank``-th largest of floats that are not negative.

    One pass where a guess is right and narrow, at most three otherwise, by counting: whatever the
    numbers are, equal ones included, the result is exact and the memory the same.

    Args:
        blocks: gives the numbers' bits, all of them every time; blocks may be overwritten.
        rank: from 1 to the number of numbers.
        guess: where the result may be.
    """
    span = guess
    while True:
        above, counts, shift = _counted(blocks(), span)
        reached = above + np.cumsum(counts[::-1])
        if not above < rank <= reached[-1]:
            assert span != _ALL, "the rank is among the numbers"
            span = _ALL
            continue
        place = len(counts) - 1 - int(np.searchsorted(reached, rank))
        low = span.low + (place << shift)
        if shift == 0:
            return np.uint32(low).view(np.float32)
        span = Span(low, min(low + (1 << shift), span.high))


def _counted(blocks: Iterable[Bits], span: Span) -> tuple[int, Int64[np.ndarray, " bin"], int]:
    """Give how many lie above the span, how many in each bin, and a bin's width as a power of 2."""
    width = span.high - span.low
    shift = max(0, (width - 1).bit_length() - _BINS)
    counts, above = np.zeros(((width - 1) >> shift) + 1, np.int64), 0
    for bits in blocks:
        above += int(np.count_nonzero(bits >= span.high))
        offsets = np.subtract(bits, np.uint32(span.low), out=bits)  # below the span: huge
        np.add.at(counts, offsets[offsets < width] >> shift, 1)
    return above, counts, shift
