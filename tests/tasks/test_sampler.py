import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from distmerge.errors import DataError
from distmerge.tasks import batch_indices

ADDRESSES = st.tuples(st.integers(0, 2**32), st.text(max_size=8), st.integers(0, 10_000))


@given(ADDRESSES, st.integers(1, 40), st.integers(0, 60))
def test_a_batch_holds_distinct_indices_in_range(
    address: tuple[int, str, int], size: int, spare: int
) -> None:
    batch = batch_indices(*address, size=size, available=size + spare)
    assert len(set(batch.tolist())) == size
    assert batch.min() >= 0
    assert batch.max() < size + spare


@given(st.lists(ADDRESSES, min_size=2, max_size=6, unique=True))
def test_an_address_gives_one_batch_in_whatever_order_it_is_asked(
    addresses: list[tuple[int, str, int]],
) -> None:
    asked = {address: batch_indices(*address, size=8, available=40) for address in addresses}
    for address in reversed(addresses):
        again = batch_indices(*address, size=8, available=40)
        assert np.array_equal(asked[address], again)


def test_the_batches_of_steps_tasks_and_seeds_differ() -> None:
    addresses = [(0, "alpha", 0), (0, "alpha", 1), (0, "beta", 0), (1, "alpha", 0)]
    batches = {tuple(batch_indices(*address, size=8, available=40)) for address in addresses}
    assert len(batches) == len(addresses)


def test_a_batch_of_all_images_holds_each_once() -> None:
    batch = batch_indices(0, "alpha", 0, size=40, available=40)
    assert sorted(batch.tolist()) == list(range(40))


def test_every_image_is_drawn_equally_often() -> None:
    batches = [batch_indices(0, "alpha", step, size=4, available=10) for step in range(2000)]
    counts = np.bincount(np.concatenate(batches), minlength=10)
    assert np.abs(counts - 800).max() < 5 * np.sqrt(2000 * 0.4 * 0.6)  # five standard deviations


def test_a_batch_stays_the_same_between_versions() -> None:
    assert batch_indices(0, "alpha", 0, size=6, available=40).tolist() == [2, 34, 25, 10, 38, 11]


def test_a_batch_larger_than_its_task_is_refused() -> None:
    with pytest.raises(DataError, match="task alpha: a batch of 41 from 40 images"):
        batch_indices(0, "alpha", 0, size=41, available=40)
