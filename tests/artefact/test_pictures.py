from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import image_transform
from PIL import Image

from distmerge.artefact.pictures import Unreadable, tower_input, validation_transform
from tests.world import TOWER

TRANSFORM = validation_transform(TOWER.preprocess)


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (50, 31)])
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "RGBA"])
def test_a_picture_is_read_as_open_clip_validates(size: tuple[int, int], mode: str) -> None:
    mean, std = TOWER.preprocess.mean, TOWER.preprocess.std
    image = picture(*size).convert(mode)
    found = tower_input(image, TRANSFORM)
    assert isinstance(found, torch.Tensor)
    assert torch.equal(found, image_transform(16, is_train=False, mean=mean, std=std)(image))


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot identify"), (b"no picture", "cannot identify")],
)
def test_a_file_that_is_no_picture_is_unreadable(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    found = tower_input(path, TRANSFORM)
    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_a_truncated_picture_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    picture(64, 64).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert isinstance(tower_input(path, TRANSFORM), Unreadable)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_deep_pixels_are_refused_and_not_clipped(mode: str) -> None:
    found = tower_input(Image.new(mode, (16, 16)), TRANSFORM)
    assert isinstance(found, Unreadable)
    assert "more than 8 bits" in found.reason


@pytest.mark.parametrize(
    "array", [np.zeros((16, 16, 3)), np.zeros((16, 16), np.uint8), np.zeros((3, 16, 16), np.uint8)]
)
def test_an_array_of_another_form_is_unreadable(array: np.ndarray) -> None:
    found = tower_input(array, TRANSFORM)
    assert isinstance(found, Unreadable)
    assert "expected uint8 (height, width, 3)" in found.reason
