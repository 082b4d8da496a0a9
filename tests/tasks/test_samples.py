import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from PIL import Image

from distmerge.spec import Preprocess
from distmerge.tasks import LabelledSamples, Samples, array_digest, preprocessed
from distmerge.tasks.samples import sample_hashes, sample_problem

SAME_SIZE = Preprocess(size=4, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 1.0))
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), dtype=np.uint8)


def test_pixels_are_scaled_and_normalised_per_channel() -> None:
    pixels = np.full((1, 4, 4, 3), (0, 255, 51), dtype=np.uint8)
    channels = preprocessed(pixels, SAME_SIZE)[0, :, 0, 0]
    torch.testing.assert_close(channels, torch.tensor([-1.0, 3.0, 0.2]))


def test_height_and_width_are_not_exchanged() -> None:
    pixels = np.zeros((1, 4, 4, 3), dtype=np.uint8)
    pixels[0, 0, 3, 1] = 255
    values = preprocessed(pixels, SAME_SIZE)[0]
    assert (values == values.max()).nonzero().tolist() == [[1, 0, 3]]


@pytest.mark.parametrize(("height", "width"), [(32, 32), (8, 8), (48, 24)])
def test_resizing_agrees_with_pillows_bicubic_filter(height: int, width: int) -> None:
    noise = np.random.default_rng(1).normal(128, 20, (height, width, 3))
    pixels = noise.clip(0, 255).astype(np.uint8)
    resized = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BICUBIC)
    plain = Preprocess(size=16, mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    ours = preprocessed(pixels[None], plain)[0].permute(1, 2, 0) * 255
    # Pillow computes in 8 bits and rounds twice; we do not round.
    assert np.abs(ours.numpy() - np.asarray(resized)).max() < 1.6


def test_resizing_between_pixels_is_the_towers() -> None:
    pixels = np.random.default_rng(1).normal(128, 20, (40, 50, 3)).clip(0, 255).astype(np.uint8)
    resized = Image.fromarray(pixels).resize((16, 16), Image.Resampling.BILINEAR)
    linear = Preprocess(size=16, mean=(0, 0, 0), std=(1, 1, 1), interpolation="bilinear")
    ours = preprocessed(pixels[None], linear)[0].permute(1, 2, 0) * 255
    assert np.abs(ours.numpy() - np.asarray(resized)).max() < 1.6


def test_a_batch_holds_the_asked_images_in_the_asked_order() -> None:
    batch = Samples(PIXELS, "digest").batch(np.array([2, 0]), SAME_SIZE)
    assert torch.equal(batch, preprocessed(PIXELS[[2, 0]], SAME_SIZE))


def test_frozen_pixels_can_be_preprocessed() -> None:
    frozen = PIXELS.copy()
    frozen.flags.writeable = False
    assert torch.equal(preprocessed(frozen, SAME_SIZE), preprocessed(PIXELS, SAME_SIZE))


def test_unlabelled_images_have_no_labels_to_read() -> None:
    assert not hasattr(Samples(PIXELS, "digest"), "labels")


def test_labelled_images_count_their_images() -> None:
    assert len(LabelledSamples(Samples(PIXELS, "digest"), np.array([0, 1, 0]))) == 3


def test_a_digest_does_not_depend_on_the_memory_layout() -> None:
    assert array_digest(PIXELS) == array_digest(np.asfortranarray(PIXELS))


@pytest.mark.parametrize(
    "array",
    [
        PIXELS,
        np.asfortranarray(PIXELS),
        np.arange(6, dtype=np.int64)[::2],
        np.array([True, False]),
        np.array(1.5),
        np.zeros((0, 4, 4, 3), np.uint8),
        np.zeros((3, 0), np.float32),
    ],
)
def test_a_digest_is_that_of_the_bytes(array: np.ndarray) -> None:
    text = f"{array.dtype.str}{array.shape}".encode()
    expected = hashlib.sha256(text + np.ascontiguousarray(array).tobytes()).hexdigest()
    assert array_digest(array) == expected[:16]


def test_a_digest_tells_shapes_types_and_the_split_apart() -> None:
    array = np.arange(6)
    others: list[np.ndarray] = [array.reshape(2, 3), array.astype(np.int32), array + 1]
    digests = {array_digest(array), array_digest(array[:3], array[3:])} | {
        array_digest(other) for other in others
    }
    assert len(digests) == 5


@given(
    npst.arrays(np.uint8, (5, 2, 2, 3), elements=st.integers(0, 1)),
    st.permutations(range(5)),
)
def test_sample_hashes_are_the_set_of_different_images(
    pixels: np.ndarray, order: list[int]
) -> None:
    assert len(sample_hashes(pixels)) == len(np.unique(pixels, axis=0))
    assert sample_hashes(pixels[order]).keys() == sample_hashes(pixels).keys()


def test_arrays_that_are_no_squares_are_refused_where_the_tower_cuts_the_centre() -> None:
    wide = np.zeros((2, 4, 6, 3), np.uint8)
    assert sample_problem(wide, SAME_SIZE.model_copy(update={"resize": "squash"})) is None
    assert sample_problem(wide[:, :, :4], SAME_SIZE) is None
    problem = sample_problem(wide, SAME_SIZE)
    assert problem is not None
    assert problem.startswith("got uint8 (2, 4, 6, 3), expected squares, as the tower reads")
    assert "give image files" in problem
