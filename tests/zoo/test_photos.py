import numpy as np
import pytest
from PIL import Image

from distmerge.zoo.images import Photos, Side
from distmerge.zoo.photos import PhotoSource, regions, scaled
from distmerge.zoo.tiny import TINY

PHOTOS = next(task.images for task in TINY.tasks if isinstance(task.images, Photos))
FEW = PHOTOS.model_copy(update={"photographs": {"camera": "skimage", "china": "sklearn"}})
SIDES: tuple[Side, ...] = ("train", "adapt", "report")


def test_regions_cover_the_photograph_without_overlap() -> None:
    numbered = Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20))
    parts = regions(numbered, train_width=0.65)
    values = np.concatenate([np.asarray(parts[side]).ravel() for side in SIDES])
    assert sorted(values.tolist()) == list(range(200))


def test_training_takes_the_left_part() -> None:
    assert regions(Image.new("L", (100, 40)), train_width=0.65)["train"].size == (65, 40)


def test_scaling_keeps_proportions() -> None:
    assert scaled(Image.new("RGB", (300, 150)), 400).size == (800, 400)


@pytest.mark.parametrize("side", SIDES)
def test_a_window_has_the_size_of_the_zoo(side: Side) -> None:
    source, generator = PhotoSource(FEW, 32), np.random.default_rng(0)
    windows = [source.draw(side, label, generator) for label in (0, 1) for _ in range(10)]
    assert {window.shape for window in windows if window is not None} == {(32, 32, 3)}


def test_an_empty_window_shows_nothing() -> None:
    source = PhotoSource(FEW.model_copy(update={"least_contrast": 200.0}), 32)
    assert source.draw("train", 0, np.random.default_rng(0)) is None
