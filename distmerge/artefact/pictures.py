"""Pictures of any form as a tower's input, by open_clip's validation transform."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from distmerge.spec import Preprocess

Picture: TypeAlias = Image.Image | np.ndarray | str | os.PathLike[str]
Pictures: TypeAlias = Picture | Sequence[Picture]
Transform: TypeAlias = Callable[[Image.Image], Tensor]

_DEEP = ("I", "F")  # modes of more than 8 bits begin so; as RGB they would be clipped to white


class Unreadable(NamedTuple):
    """Why a picture could not be read."""

    reason: str


def validation_transform(preprocess: Preprocess) -> Transform:
    """Give open_clip's: the shorter side resized bicubically, the centre cut out, normalised."""
    from open_clip import image_transform

    transform: Transform = image_transform(
        preprocess.size, is_train=False, mean=preprocess.mean, std=preprocess.std
    )
    return transform


def listed(pictures: Pictures) -> list[Picture]:
    """Give the pictures one by one; a single one, or an array of several, is taken apart."""
    if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
        return list(pictures)
    if isinstance(pictures, np.ndarray | Image.Image | str | os.PathLike):
        return [pictures]
    return list(pictures)


def tower_input(picture: Picture, transform: Transform) -> Tensor | Unreadable:
    """Give a picture as a tower reads it, or why it cannot be read."""
    try:
        opened = _opened(picture)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return Unreadable(str(error) or type(error).__name__)
    if opened.mode.startswith(_DEEP):
        return Unreadable(f"pixels of more than 8 bits (mode {opened.mode}); expected 8-bit RGB")
    return transform(opened)


def _opened(picture: Picture) -> Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if not isinstance(picture, np.ndarray):
        with Image.open(Path(picture)) as image:
            image.load()
        return image
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"got an array {picture.dtype} {picture.shape}, expected uint8 (height, width, 3)"
        )
    return Image.fromarray(picture)
