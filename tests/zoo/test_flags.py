from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from distmerge.errors import ZooError
from distmerge.zoo.flags import FlagSource, flag_pictures, window
from distmerge.zoo.images import Flags, FlagSet, Side
from distmerge.zoo.mini import MINI
from distmerge.zoo.packages import DebianPackage, NpmPackage
from tests.zoo.packed import icons, png, square, tarball

ART = FlagSet(package=NpmPackage(package="art", version="1", sha256=""), name="{code}-4x3")
HELD_OUT = FlagSet(package=DebianPackage(package="iso"), name="usr/share/{code}.png")
MINI_FLAGS = next(task.images for task in MINI.tasks if isinstance(task.images, Flags))
RECIPE = MINI_FLAGS.model_copy(
    update={
        "codes": ("aa", "bb"),
        "art": (ART,),
        "held_out": HELD_OUT,
        "backgrounds": {side: {"camera": "skimage"} for side in ("train", "adapt", "report")},
        "brightness": (1.0, 1.0),
        "contrast": (1.0, 1.0),
        "colour": (1.0, 1.0),
        "blur": (0.1, 0.2),
    }
)
"""The flags that train are red and green, the held-out ones blue and yellow."""


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("flags")
    bodies = {"aa-4x3": square("#ff0000"), "bb-4x3": square("#00ff00")}
    colours = {"aa": (0, 0, 255), "bb": (255, 255, 0)}
    pictures = {
        f"usr/share/{code}.png": png(np.full((12, 16, 3), colour, np.uint8))
        for code, colour in colours.items()
    }
    return {
        "art": icons(folder / "art.tgz", bodies),
        "iso": tarball(folder / "iso.tgz", pictures),
    }


@pytest.mark.parametrize(
    ("side", "label", "colour"),
    [
        ("train", 0, (255, 0, 0)),
        ("train", 1, (0, 255, 0)),
        ("adapt", 0, (0, 0, 255)),
        ("report", 1, (255, 255, 0)),
    ],
)
def test_a_side_shows_its_own_art(
    packages: dict[str, Path], side: Side, label: int, colour: tuple[int, int, int]
) -> None:
    source = FlagSource(RECIPE, 32, packages)
    center = source.draw(side, label, np.random.default_rng(0))[14:18, 14:18].astype(int)
    assert np.abs(center - colour).mean() < 20


def test_classes_are_the_countries(packages: dict[str, Path]) -> None:
    assert FlagSource(RECIPE, 32, packages).classes == ("aa", "bb")


def test_the_same_draw_gives_the_same_image(packages: dict[str, Path]) -> None:
    source = FlagSource(RECIPE, 32, packages)
    one, other = (source.draw("report", 1, np.random.default_rng(3)) for _ in range(2))
    assert np.array_equal(one, other)


@pytest.mark.parametrize(("flags", "name"), [(ART, "zz-4x3"), (HELD_OUT, "usr/share/zz.png")])
def test_a_missing_flag_is_named(packages: dict[str, Path], flags: FlagSet, name: str) -> None:
    expected = rf"flags that {flags.package.package} lacks:\n  - {name}"
    with pytest.raises(ZooError, match=expected):
        flag_pictures(flags, ("aa", "zz"), packages)


def test_a_window_is_a_piece_of_the_picture() -> None:
    numbered = Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20))
    piece = np.asarray(window(numbered, 10, np.random.default_rng(0)))
    assert np.array_equal(piece, piece[0, 0] + np.arange(10) + 20 * np.arange(10)[:, None])


def test_no_photograph_is_behind_two_sides() -> None:
    names = [name for photographs in MINI_FLAGS.backgrounds.values() for name in photographs]
    assert len(names) == len(set(names))
