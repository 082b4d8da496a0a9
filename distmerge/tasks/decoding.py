"""From an encoded image to the pixels that a tower looks at."""

import struct
import zlib
from io import BytesIO

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

UNDECODABLE = (
    OSError,
    SyntaxError,  # a broken PNG chunk
    ValueError,
    EOFError,
    OverflowError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises for bytes that are no image."""
_DEEP = ("I", "F")  # with more than 8 bits: which range would be black to white?


def decoded(
    content: bytes | np.ndarray | Image.Image, size: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Give ``size`` by ``size`` RGB pixels: shorter side resized bicubically, centre cropped.

    Source: CLIP's validation transform, as open_clip and torchvision compute it, after the
    conversion to RGB that torchvision's loaders do; alpha is dropped.
    Departs: an image is turned upright as its EXIF orientation says.

    Raises:
        ValueError: the image has more than 8 bits a channel; others of ``UNDECODABLE``.
    """
    image = _rgb(content)
    width, height = image.size
    short = min(width, height)
    if short != size:
        scaled = (int(size * width / short), int(size * height / short))
        image = image.resize(scaled, Image.Resampling.BICUBIC)
    left, top = (round((side - size) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def _rgb(content: bytes | np.ndarray | Image.Image) -> Image.Image:
    if isinstance(content, np.ndarray):
        return Image.fromarray(content).convert("RGB")
    image = content if isinstance(content, Image.Image) else Image.open(BytesIO(content))
    if image.mode.startswith(_DEEP):
        raise ValueError(f"more than 8 bits a channel (mode {image.mode}); save it with 8")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "P":  # some of its colours may be transparent
        upright = upright.convert("RGBA")
    return upright.convert("RGB")
