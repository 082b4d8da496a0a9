"""Flags on photographs, lit, blurred and noisy like traffic signs from a car."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance, ImageFilter

from distmerge.errors import ZooError, problem_list
from distmerge.zoo.archives import file_contents
from distmerge.zoo.icons import IconCollection
from distmerge.zoo.images import Flags, FlagSet, Side
from distmerge.zoo.packages import NpmPackage
from distmerge.zoo.pasting import OVERSAMPLING, pasted, resized, turned
from distmerge.zoo.photos import photograph, scaled

_WIDTH = 96  # pixels of a rendered flag, before it is placed


class FlagSource:
    """Gives flags on photographs; training has its own art, and every side its photographs."""

    def __init__(self, recipe: Flags, side_pixels: int, packages: Mapping[str, Path]) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        held_out = [flag_pictures(recipe.held_out, recipe.codes, packages)]
        train = [flag_pictures(art, recipe.codes, packages) for art in recipe.art]
        self._art: dict[Side, list[list[Image.Image]]] = {
            "train": train,
            "adapt": held_out,
            "report": held_out,
        }
        self._photographs = {
            side: [
                scaled(photograph(name, package), recipe.height) for name, package in names.items()
            ]
            for side, names in recipe.backgrounds.items()
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Codes of the countries."""
        return self._recipe.codes

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Give a flag on a window of a photograph."""
        recipe, canvas = self._recipe, OVERSAMPLING * self._side_pixels
        art = self._art[side][int(generator.integers(len(self._art[side])))]
        photographs = self._photographs[side]
        behind = window(photographs[int(generator.integers(len(photographs)))], canvas, generator)
        flag = resized(
            art[label],
            canvas,
            generator.uniform(*recipe.extent),
            stretch=generator.uniform(*recipe.stretch),
        )
        scene = pasted(turned(flag, recipe.rotation, generator), behind, recipe.offset, generator)
        return self._seen(scene, generator)

    def _seen(
        self, scene: Image.Image, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"]:
        recipe, side = self._recipe, self._side_pixels
        lit = ImageEnhance.Brightness(scene).enhance(generator.uniform(*recipe.brightness))
        lit = ImageEnhance.Contrast(lit).enhance(generator.uniform(*recipe.contrast))
        lit = ImageEnhance.Color(lit).enhance(generator.uniform(*recipe.colour))
        if generator.random() < 0.5:
            lit = lit.filter(ImageFilter.GaussianBlur(generator.uniform(*recipe.blur)))
        small = np.asarray(lit.resize((side, side), Image.Resampling.LANCZOS), dtype=np.float64)
        deviation = generator.uniform(0, recipe.noise)
        noisy = small + generator.normal(0, deviation, small.shape)
        return np.asarray(noisy.round().clip(0, 255), dtype=np.uint8)


def window(picture: Image.Image, side: int, generator: np.random.Generator) -> Image.Image:
    """Give a random square of a picture."""
    left, top = (int(generator.integers(extent - side + 1)) for extent in picture.size)
    return picture.crop((left, top, left + side, top + side))


def flag_pictures(
    flags: FlagSet, codes: tuple[str, ...], packages: Mapping[str, Path]
) -> list[Image.Image]:
    """Give a set's flag of every country.

    Raises:
        ZooError: the set lacks the flag of a country.
    """
    names = [flags.name.format(code=code) for code in codes]
    archive = packages[flags.package.package]
    if isinstance(flags.package, NpmPackage):
        icons = IconCollection(archive)
        _refuse_absent(flags, [name for name in names if name not in icons])
        return [icons.picture(name, _WIDTH) for name in names]
    files = file_contents(archive, set(names).__contains__)
    _refuse_absent(flags, [name for name in names if name not in files])
    return [Image.open(io.BytesIO(files[name])).convert("RGBA") for name in names]


def _refuse_absent(flags: FlagSet, absent: list[str]) -> None:
    if absent:
        raise ZooError(problem_list(f"flags that {flags.package.package} lacks", absent))
