from pathlib import Path

import numpy as np
import pytest

from distmerge.errors import ZooError
from distmerge.zoo.glyphs import matplotlib_fonts
from distmerge.zoo.images import Side, Typefaces
from distmerge.zoo.packages import DebianPackage
from distmerge.zoo.typefaces import TypefaceSource, package_families, sides_of_families
from tests.zoo.packed import tarball
from tests.zoo.toys import GLYPHS

FILES = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSerif.ttf",
    "STIXGeneral.ttf",
)
RECIPE = Typefaces(
    source="a toy",
    fonts=(DebianPackage(package="fonts-toy"),),
    held_out={"adapt": ("DejaVu Serif",), "report": ("STIX",)},
    **GLYPHS.model_dump(include={*Typefaces.model_fields} - {"kind", "source", "fonts"}),
)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    fonts = {f"usr/share/fonts/{name}": (matplotlib_fonts() / name).read_bytes() for name in FILES}
    return tarball(tmp_path_factory.mktemp("fonts") / "fonts-toy.tgz", fonts)


@pytest.fixture(scope="module")
def source(package: Path) -> TypefaceSource:
    return TypefaceSource(RECIPE, 16, {"fonts-toy": package})


def test_faces_are_sorted_into_families(package: Path) -> None:
    families = package_families(package, RECIPE)
    counts = {name: len(faces) for name, faces in families.items()}
    assert counts == {"DejaVu Sans": 2, "DejaVu Serif": 1, "STIXGeneral": 1}


def test_a_font_without_a_character_is_left_out(package: Path) -> None:
    recipe = RECIPE.model_copy(update={"characters": "あい"})
    assert package_families(package, recipe) == {}


def test_families_that_are_not_held_out_train() -> None:
    sides = sides_of_families(RECIPE, ("STIXGeneral", "Lato", "DejaVu Serif", "STIXSize", "Arvo"))
    assert sides == {
        "train": ("Arvo", "Lato"),
        "adapt": ("DejaVu Serif",),
        "report": ("STIXGeneral", "STIXSize"),
    }


def test_all_held_out_families_that_are_not_there_are_named() -> None:
    with pytest.raises(ZooError, match=r"(?s)held-out.*DejaVu Serif \(adapt\).*STIX \(report\)"):
        sides_of_families(RECIPE, ("Lato",))


@pytest.mark.parametrize("side", ["train", "adapt", "report"])
def test_every_side_draws_characters(source: TypefaceSource, side: Side) -> None:
    image = source.draw(side, 1, np.random.default_rng(0))
    assert image is not None
    assert image.shape == (16, 16, 3)
    assert image.std() > 10


def test_the_same_draw_gives_the_same_character(source: TypefaceSource) -> None:
    one, other = (source.draw("report", 0, np.random.default_rng(3)) for _ in range(2))
    assert one is not None
    assert other is not None
    assert np.array_equal(one, other)


def test_a_character_without_ink_shows_nothing(package: Path) -> None:
    blank = TypefaceSource(
        RECIPE.model_copy(update={"characters": "I "}), 16, {"fonts-toy": package}
    )
    assert blank.draw("report", 1, np.random.default_rng(0)) is None
