from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from distmerge.threshold import INFINITY_BITS, Bits, Span, guessed, kth_largest


def in_blocks(values: np.ndarray, size: int = 7) -> Iterator[Bits]:
    for start in range(0, len(values), size):
        yield values[start : start + size].copy().view(np.uint32)


@given(
    values=arrays(
        np.float32,
        st.integers(1, 40),
        elements=st.floats(0, 2.0**100, width=32) | st.sampled_from([0.0, 1.0, 1.5, float("inf")]),
    ),
    data=st.data(),
)
def test_the_result_is_that_of_sorting_whatever_the_guess(
    values: np.ndarray, data: st.DataObject
) -> None:
    rank = data.draw(st.integers(1, len(values)))
    low = data.draw(st.integers(0, INFINITY_BITS - 1))
    guess = Span(low, data.draw(st.integers(low + 1, INFINITY_BITS)))
    found = kth_largest(lambda: in_blocks(values), rank, guess)
    assert found == np.sort(values)[::-1][rank - 1]


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.001])
def test_a_good_sample_needs_one_pass(share: float) -> None:
    values = np.abs(np.random.default_rng(0).standard_normal(200_000)).astype(np.float32)
    guess = guessed(values[::10].copy().view(np.uint32), share)
    rank, passes = int(share * len(values)), []

    def blocks() -> Iterator[Bits]:
        passes.append(1)
        return in_blocks(values, 5000)

    assert kth_largest(blocks, rank, guess) == np.sort(values)[-rank]
    assert len(passes) <= (1 if 0.1 < share < 0.9 else 3)


def test_equal_numbers_are_found() -> None:
    values = np.full(1000, 0.25, np.float32)
    guess = guessed(values[:10].copy().view(np.uint32), 0.2)
    assert kth_largest(lambda: in_blocks(values), 200, guess) == np.float32(0.25)
