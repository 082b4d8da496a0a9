import struct
from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import ZooError
from distmerge.zoo.images import Side, Textures, TextureSet
from distmerge.zoo.packages import DebianPackage
from distmerge.zoo.textures import TextureSource, gimp_pattern
from tests.zoo.packed import png, tarball

TEXTURES = TextureSet(
    package=DebianPackage(package="toy"),
    folder="usr/share",
    files=("Stone/regions.png", "noise.pat", "white.png"),
    window=(8, 12),
)
RECIPE = Textures(
    source="a toy",
    sets=(TEXTURES,),
    train_width=0.6,
    brightness=(1.0, 1.0),
    contrast=(1.0, 1.0),
    colour=(1.0, 1.0),
    least_contrast=2.0,
)


def pattern(pixels: np.ndarray) -> bytes:
    """Give pixels as a pattern file of GIMP."""
    height, width, channels = pixels.shape
    header = struct.pack(">5I4s", 28, 1, width, height, channels, b"GPAT") + b"toy\0"
    return header + pixels.tobytes()


def regions() -> np.ndarray:
    """Give a checked texture whose red says train, upper right or lower right."""
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:, :36, 0], pixels[:20, 36:, 0], pixels[20:, 36:, 0] = 50, 100, 150
    pixels[::2, ::2, 1:] = 255
    return pixels


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> TextureSource:
    noise = np.random.default_rng(0).integers(0, 256, (40, 60, 1), dtype=np.uint8)
    files = {
        "usr/share/Stone/regions.png": png(regions()),
        "usr/share/noise.pat": pattern(noise),
        "usr/share/white.png": png(np.full((40, 60, 3), 255, np.uint8)),
    }
    packed = tarball(tmp_path_factory.mktemp("textures") / "toy.tgz", files)
    return TextureSource(RECIPE, 16, {"toy": packed})


@pytest.mark.parametrize(("side", "red"), [("train", 50), ("adapt", 100), ("report", 150)])
def test_a_side_has_its_own_region(source: TextureSource, side: Side, red: int) -> None:
    generator = np.random.default_rng(0)
    windows = [source.draw(side, 0, generator) for _ in range(20)]
    assert {int(value) for w in windows if w is not None for value in w[..., 0].flat} == {red}


def test_classes_are_the_names_of_the_files(source: TextureSource) -> None:
    assert source.classes == ("regions", "noise", "white")


def test_a_blank_window_shows_nothing(source: TextureSource) -> None:
    assert source.draw("train", 2, np.random.default_rng(0)) is None


def test_a_missing_texture_is_named(tmp_path: Path) -> None:
    packed = tarball(tmp_path / "toy.tgz", {"usr/share/white.png": b""})
    with pytest.raises(ZooError, match=r"(?s)textures that toy lacks.*Stone/regions.*noise\.pat"):
        TextureSource(RECIPE, 16, {"toy": packed})


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_a_pattern_of_gimp_is_read(channels: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, channels), dtype=np.uint8)
    expected = pixels[..., :3] if channels >= 3 else np.repeat(pixels[..., :1], 3, axis=-1)
    assert np.array_equal(np.asarray(gimp_pattern(pattern(pixels))), expected)
