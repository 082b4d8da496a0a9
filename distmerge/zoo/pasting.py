"""Drawings pasted on a background, with random size, place and angle."""

import numpy as np
from PIL import Image

from distmerge.zoo.images import Range

OVERSAMPLING = 3
"""Drawings are pasted on a larger canvas and scaled down, which smooths edges."""


def resized(
    drawing: Image.Image, canvas: int, extent: float, *, stretch: float = 1.0
) -> Image.Image:
    """Give a drawing whose longer side takes ``extent`` of the canvas, before the stretch."""
    scale = extent * canvas / max(drawing.size)
    width, height = drawing.size
    size = (max(1, int(width * scale)), max(1, int(height * scale * stretch)))
    return drawing.resize(size, Image.Resampling.BILINEAR)


def turned(
    drawing: Image.Image, largest_angle: float, generator: np.random.Generator
) -> Image.Image:
    """Give a drawing turned by a random angle, its corners kept."""
    angle = generator.uniform(-largest_angle, largest_angle)
    return drawing.rotate(angle, Image.Resampling.BILINEAR, expand=True)


def pasted(
    drawing: Image.Image, background: Image.Image, offset: Range, generator: np.random.Generator
) -> Image.Image:
    """Give the background with the drawing at a random place."""
    left, top = (
        int((background.size[axis] - drawing.size[axis]) * generator.uniform(*offset))
        for axis in (0, 1)
    )
    combined = background.copy()
    combined.paste(drawing, (left, top), drawing)
    return combined
