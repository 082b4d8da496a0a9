import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmerge.static.tally import Aggregate, Tally, Votes
from tests.oracles.ties import ties_rows


@pytest.mark.parametrize("aggregate", ["sum", "mean", "max"])
@given(seed=st.integers(0, 2**32 - 1), num_tasks=st.integers(1, 6))
def test_a_block_aggregates_as_the_paper_says(
    aggregate: Aggregate, seed: int, num_tasks: int
) -> None:
    rows = np.random.default_rng(seed).integers(-4, 5, (num_tasks, 30)).astype(np.float32)
    kept = 9
    thresholds = [np.sort(np.abs(row))[-kept] for row in rows]
    tally = Tally(40)
    tally.clear(30)
    for row, threshold in zip(rows, thresholds, strict=True):
        tally.add_trimmed(row.copy(), threshold, aggregate)
    majority = 1 if tally.votes.balance > 0 else -1
    found = tally.aggregated(majority, aggregate)
    np.testing.assert_allclose(
        found, ties_rows(rows.astype(np.float64), kept / 30, aggregate), rtol=1e-12
    )


def test_a_block_begins_empty() -> None:
    tally = Tally(4)
    tally.add(np.ones(4, np.float32))
    tally.clear(2)
    tally.add(np.array([1, 2], np.float32))
    np.testing.assert_array_equal(tally.sums(), [1, 2])


def test_votes_count_signs_and_notice_what_cancels_out() -> None:
    tally = Tally(4)
    for row in ([1, -1, 0, -3], [2, -2, 0, -1]):
        tally.add_trimmed(np.array(row, np.float32), np.float32(0.5), "sum")
    assert tally.votes == Votes(-1, tied=False)
    tally.add_trimmed(np.array([-3, 0, 0, 0], np.float32), np.float32(0.5), "sum")
    assert tally.votes == Votes(-2, tied=True)
