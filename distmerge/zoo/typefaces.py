"""Characters rendered from packaged fonts; whole font families are held out."""

import io
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import ImageFont

from distmerge.errors import ZooError, problem_list
from distmerge.zoo.archives import file_contents
from distmerge.zoo.glyphs import coloured, inked, placed
from distmerge.zoo.images import Side, Typefaces

_SUFFIXES = (".ttf", ".otf", ".ttc")
_LEAST_HEIGHT = 1 / 6  # of the font size; a lower glyph is a placeholder


class Face(NamedTuple):
    """One face of a font file."""

    content: bytes
    number: int

    def sized(self, points: int) -> ImageFont.FreeTypeFont:
        """Give the face in a size."""
        return ImageFont.truetype(io.BytesIO(self.content), points, index=self.number)


class TypefaceSource:
    """Gives images of characters; every side has its own font families."""

    def __init__(self, recipe: Typefaces, side_pixels: int, packages: Mapping[str, Path]) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        families: dict[str, list[Face]] = {}
        for package in recipe.fonts:
            for name, faces in package_families(packages[package.package], recipe).items():
                families.setdefault(name, []).extend(faces)
        self._sides = {
            side: [[face.sized(recipe.points) for face in families[name]] for name in names]
            for side, names in sides_of_families(recipe, tuple(families)).items()
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The characters."""
        return tuple(self._recipe.characters)

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"] | None:
        """Give an image of a character from a random family, or nothing where it has no ink."""
        families = self._sides[side]
        faces = families[int(generator.integers(len(families)))]
        face = faces[int(generator.integers(len(faces)))]
        mask = inked(face, self._recipe.characters[label], self._recipe.points)
        if mask.size[1] < _LEAST_HEIGHT * self._recipe.points or mask.getbbox() is None:
            return None
        ink = placed(mask, self._recipe, self._side_pixels, generator)
        return coloured(ink, self._recipe.least_contrast, generator)


def package_families(archive: Path, recipe: Typefaces) -> dict[str, list[Face]]:
    """Give the faces of a package that have all characters, by the name of their family."""
    families: dict[str, list[Face]] = {}
    for content in file_contents(archive, lambda name: name.endswith(_SUFFIXES)).values():
        for number, (family, covered) in enumerate(_described(content)):
            if covered.issuperset(map(ord, recipe.characters)):
                families.setdefault(family, []).append(Face(content, number))
    return families


def sides_of_families(recipe: Typefaces, families: tuple[str, ...]) -> dict[Side, tuple[str, ...]]:
    """Give the families of every side, sorted; what is not held out trains.

    Raises:
        ZooError: the packages have no family of a name that is held out.
    """
    sides: dict[Side, tuple[str, ...]] = {
        side: tuple(sorted(name for name in families if name.startswith(prefixes)))
        for side, prefixes in recipe.held_out.items()
    }
    absent = [
        f"{prefix} ({side})"
        for side, prefixes in recipe.held_out.items()
        for prefix in prefixes
        if not any(name.startswith(prefix) for name in families)
    ]
    if absent:
        raise ZooError(problem_list("held-out font families that no package has", absent))
    held_out = {name for names in sides.values() for name in names}
    return {"train": tuple(sorted(set(families) - held_out)), **sides}


def _described(content: bytes) -> list[tuple[str, set[int]]]:
    from fontTools.ttLib import TTCollection, TTFont

    # Many fonts break a rule that matters to nobody here; fontTools logs each of them.
    logging.getLogger("fontTools").setLevel(logging.ERROR)
    file = io.BytesIO(content)
    is_collection = content[:4] == b"ttcf"
    fonts = TTCollection(file, lazy=True).fonts if is_collection else [TTFont(file, lazy=True)]
    return [(str(font["name"].getDebugName(1)), set(font.getBestCmap() or ())) for font in fonts]
