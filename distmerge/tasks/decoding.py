"""From an encoded image to the pixels that a tower looks at."""

import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from typing import TypeAlias

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from distmerge.spec import Preprocess
from distmerge.tasks.records import Kind

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
_RESAMPLING = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}
Content: TypeAlias = bytes | str | np.ndarray | Image.Image
_DEEP = ("I", "F")  # with more than 8 bits: which range would be black to white?


@dataclass(frozen=True)
class Rows:
    """Samples as rows of an array, all of one shape and type."""

    kind: Kind
    shape: tuple[int, ...]
    """Of one row."""
    dtype: type[np.uint8] | type[np.int32]
    made: Callable[[Content], np.ndarray]
    """Gives a sample's row, or raises one of ``UNDECODABLE``."""
    identity: object
    """What decides how rows come out, as JSON-like content."""


def pixel_rows(preprocess: Preprocess) -> Rows:
    """Give images as RGB pixels of the size that a tower reads."""
    size, made = preprocess.size, partial(decoded, preprocess=preprocess)
    ways = preprocess.model_dump(include={"resize", "interpolation"})
    return Rows("images", (size, size, 3), np.uint8, made, [size, ways] if ways else size)


def decoded(content: Content, preprocess: Preprocess) -> UInt8[np.ndarray, "height width 3"]:
    """Give RGB pixels, resized as a tower reads them: squashed, or the centre cut out.

    Source: CLIP's validation transform, as open_clip and torchvision compute it, after the
    conversion to RGB that torchvision's loaders do; alpha is dropped.
    Departs: an image is turned upright as its EXIF orientation says.

    Raises:
        ValueError: the image has more than 8 bits a channel; others of ``UNDECODABLE``.
    """
    image, size = _rgb(content), preprocess.size
    width, height = image.size
    short = min(width, height)
    scaled = (int(size * width / short), int(size * height / short))
    if preprocess.resize == "squash":
        scaled = (size, size)
    if image.size != scaled:
        image = image.resize(scaled, _RESAMPLING[preprocess.interpolation])
    left, top = (round((side - size) / 2) for side in image.size)
    return np.asarray(image.crop((left, top, left + size, top + size)))


def _rgb(content: Content) -> Image.Image:
    assert not isinstance(content, str)  # no source of images gives texts
    if isinstance(content, np.ndarray):
        return Image.fromarray(content).convert("RGB")
    image = content if isinstance(content, Image.Image) else Image.open(BytesIO(content))
    if image.mode.startswith(_DEEP):
        raise ValueError(f"more than 8 bits a channel (mode {image.mode}); save it with 8")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "P":  # some of its colours may be transparent
        upright = upright.convert("RGBA")
    return upright.convert("RGB")
