"""Windows of textures: the left part trains, the right part is held out, in two halves."""

import io
import struct
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageEnhance

from distmerge.errors import ZooError, problem_list
from distmerge.zoo.archives import file_contents
from distmerge.zoo.images import Side, Textures, TextureSet
from distmerge.zoo.photos import regions


class Texture(NamedTuple):
    """The regions of one texture and the sides of its windows."""

    regions: Mapping[Side, Image.Image]
    window: tuple[int, int]


class TextureSource:
    """Gives windows of textures; every side has its own region of each texture."""

    def __init__(self, recipe: Textures, side_pixels: int, packages: Mapping[str, Path]) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        self._textures = {
            PurePosixPath(name).stem: Texture(
                regions(picture, train_width=recipe.train_width), textures.window
            )
            for textures in recipe.sets
            for name, picture in _pictures(textures, packages[textures.package.package]).items()
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the textures."""
        return tuple(self._textures)

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"] | None:
        """Give a window of a texture in random light, perhaps mirrored, unless it is blank."""
        recipe, size = self._recipe, (self._side_pixels, self._side_pixels)
        texture = self._textures[self.classes[label]]
        region, (smallest, largest) = texture.regions[side], texture.window
        length = min(int(generator.integers(smallest, largest + 1)), *region.size)
        left, top = (int(generator.integers(extent - length + 1)) for extent in region.size)
        small = region.crop((left, top, left + length, top + length)).resize(
            size, Image.Resampling.BILINEAR
        )
        lit = ImageEnhance.Brightness(small).enhance(generator.uniform(*recipe.brightness))
        lit = ImageEnhance.Color(lit).enhance(generator.uniform(*recipe.colour))
        lit = ImageEnhance.Contrast(lit).enhance(generator.uniform(*recipe.contrast))
        if generator.random() < 0.5:
            lit = lit.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        if generator.random() < 0.5:
            lit = lit.transpose(Image.Transpose.ROTATE_180)
        pixels = np.array(lit)
        return pixels if pixels.mean(axis=-1).std() >= recipe.least_contrast else None


def gimp_pattern(content: bytes) -> Image.Image:
    """Give the picture of a pattern file of GIMP: a header of big-endian numbers, then pixels."""
    start, _, width, height, channels = struct.unpack(">5I", content[:20])
    flat = np.frombuffer(content, np.uint8, width * height * channels, start)
    pixels = flat.reshape(height, width, channels)
    return Image.fromarray(pixels[..., 0] if channels < 3 else pixels[..., :3]).convert("RGB")


def _pictures(textures: TextureSet, archive: Path) -> dict[str, Image.Image]:
    names = [f"{textures.folder}/{file}" for file in textures.files]
    files = file_contents(archive, set(names).__contains__)
    absent = [name for name in names if name not in files]
    if absent:
        raise ZooError(problem_list(f"textures that {textures.package.package} lacks", absent))
    return {
        name: gimp_pattern(files[name])
        if name.endswith(".pat")
        else Image.open(io.BytesIO(files[name])).convert("RGB")
        for name in names
    }
