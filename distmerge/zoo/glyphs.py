"""Characters rendered from font faces, with random place, size, angle and colours."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from distmerge.zoo.images import Glyphs, Lettering, Side

_OVERSAMPLING = 4  # glyphs are placed on a larger canvas and scaled down, which smooths edges


class GlyphSource:
    """Gives images of characters; every side has its own font faces."""

    def __init__(self, recipe: Glyphs, side_pixels: int, fonts: Path) -> None:
        self._recipe = recipe
        self._side_pixels = side_pixels
        self._masks: Mapping[Side, list[list[Image.Image]]] = {
            side: [
                [glyph_mask(fonts / f"{face}.ttf", character, recipe.points) for face in faces]
                for character in recipe.characters
            ]
            for side, faces in recipe.faces.items()
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """The characters."""
        return tuple(self._recipe.characters)

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Give an image of a character from a random face of ``side``."""
        masks = self._masks[side][label]
        mask = masks[int(generator.integers(len(masks)))]
        ink = placed(mask, self._recipe, self._side_pixels, generator)
        return coloured(ink, self._recipe.least_contrast, generator)


def matplotlib_fonts() -> Path:
    """Give the folder of the fonts that matplotlib carries."""
    import matplotlib as mpl

    return Path(mpl.get_data_path()) / "fonts" / "ttf"


def glyph_mask(face: Path, character: str, points: int) -> Image.Image:
    """Give a character of a font file as grey values, cut to its ink."""
    return inked(ImageFont.truetype(str(face), points), character, points)


def inked(font: ImageFont.FreeTypeFont, character: str, points: int) -> Image.Image:
    """Give a character as grey values, cut to its ink."""
    side = 3 * points
    canvas = Image.new("L", (side, side))
    ImageDraw.Draw(canvas).text((side / 2, side / 2), character, font=font, fill=255, anchor="mm")
    return canvas.crop(canvas.getbbox())


def placed(
    mask: Image.Image, recipe: Lettering, side: int, generator: np.random.Generator
) -> Float[np.ndarray, "height width"]:
    """Give ink coverage in [0, 1]: the glyph at a random size, place and angle."""
    canvas_side = _OVERSAMPLING * side
    scale = generator.uniform(*recipe.extent) * canvas_side / max(mask.size)
    width, height = (max(1, int(length * scale)) for length in mask.size)
    corner = (
        int((canvas_side - width) * generator.uniform(*recipe.offset)),
        int((canvas_side - height) * generator.uniform(*recipe.offset)),
    )
    canvas = Image.new("L", (canvas_side, canvas_side))
    canvas.paste(mask.resize((width, height), Image.Resampling.BILINEAR), corner)
    angle = generator.uniform(-recipe.rotation, recipe.rotation)
    turned = canvas.rotate(angle, Image.Resampling.BILINEAR)
    small = turned.resize((side, side), Image.Resampling.LANCZOS)
    return np.asarray(small, dtype=np.float32) / 255


def coloured(
    ink: Float[np.ndarray, "height width"], least_contrast: float, generator: np.random.Generator
) -> UInt8[np.ndarray, "height width 3"]:
    """Give the ink in one random colour on another, at least ``least_contrast`` apart."""
    while True:
        front, back = generator.uniform(0, 255, (2, 3))
        if abs(front.mean() - back.mean()) >= least_contrast:
            break
    blend = front * ink[..., None] + back * (1 - ink[..., None])
    return np.asarray(blend.round().clip(0, 255), dtype=np.uint8)
