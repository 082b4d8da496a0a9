from pathlib import Path

import numpy as np
import pytest
import torch
from open_clip import image_transform
from PIL import Image

from distmerge.artefact.pictures import Unreadable, tower_input
from distmerge.tasks import decoded, preprocessed
from tests.world import TOWER


def picture(width: int, height: int) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("size", [(16, 16), (40, 40), (50, 31)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_picture_is_read_as_open_clip_validates(size: tuple[int, int], mode: str) -> None:
    mean, std = TOWER.preprocess.mean, TOWER.preprocess.std
    image = picture(*size).convert(mode)
    found = tower_input(image, TOWER.preprocess)
    assert isinstance(found, torch.Tensor)
    assert torch.equal(found, image_transform(16, is_train=False, mean=mean, std=std)(image))


def turned() -> Image.Image:
    image = picture(50, 31)
    image.getexif()[0x0112] = 6
    return image


def transparent() -> Image.Image:
    image = picture(50, 31).convert("P")
    image.info["transparency"] = bytes([0, 128] * 128)
    return image


@pytest.mark.parametrize(
    "image", [turned(), transparent(), picture(50, 31).convert("RGBA")], ids=["turned", "P", "RGBA"]
)
def test_a_picture_is_decoded_as_a_study_decodes_its_file(
    image: Image.Image, tmp_path: Path
) -> None:
    path = tmp_path / "picture.png"
    image.save(path, exif=image.getexif())
    pixels = decoded(path.read_bytes(), TOWER.preprocess)
    expected = preprocessed(pixels[None], TOWER.preprocess)[0]
    for picture in (image, path):
        found = tower_input(picture, TOWER.preprocess)
        assert isinstance(found, torch.Tensor)
        assert torch.equal(found, expected)


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "cannot identify"), (b"no picture", "cannot identify")],
)
def test_a_file_that_is_no_picture_is_unreadable(
    content: bytes, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "file.png"
    path.write_bytes(content)
    found = tower_input(path, TOWER.preprocess)
    assert isinstance(found, Unreadable)
    assert reason in found.reason


def test_a_truncated_picture_is_unreadable(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    picture(64, 64).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    assert isinstance(tower_input(path, TOWER.preprocess), Unreadable)


@pytest.mark.parametrize("mode", ["I;16", "F"])
def test_deep_pixels_are_refused_and_not_clipped(mode: str) -> None:
    found = tower_input(Image.new(mode, (16, 16)), TOWER.preprocess)
    assert isinstance(found, Unreadable)
    assert "more than 8 bits" in found.reason


@pytest.mark.parametrize(
    "array", [np.zeros((16, 16, 3)), np.zeros((16, 16), np.uint8), np.zeros((3, 16, 16), np.uint8)]
)
def test_an_array_of_another_form_is_unreadable(array: np.ndarray) -> None:
    found = tower_input(array, TOWER.preprocess)
    assert isinstance(found, Unreadable)
    assert "expected uint8 (height, width, 3)" in found.reason
