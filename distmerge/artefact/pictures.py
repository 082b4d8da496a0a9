"""Pictures of any form as a tower's input, decoded as a study decodes its images."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np
from PIL import Image
from torch import Tensor

from distmerge.spec import Preprocess
from distmerge.tasks import UNDECODABLE, decoded, preprocessed

Picture: TypeAlias = Image.Image | np.ndarray | str | os.PathLike[str]
Pictures: TypeAlias = Picture | Sequence[Picture]


class Unreadable(NamedTuple):
    """Why a picture could not be read."""

    reason: str


def listed(pictures: Pictures) -> list[Picture]:
    """Give the pictures one by one; a single one, or an array of several, is taken apart."""
    if isinstance(pictures, np.ndarray) and pictures.ndim == 4:
        return list(pictures)
    if isinstance(pictures, np.ndarray | Image.Image | str | os.PathLike):
        return [pictures]
    return list(pictures)


def tower_input(picture: Picture, preprocess: Preprocess) -> Tensor | Unreadable:
    """Give a picture as a tower reads it, or why it cannot be read."""
    try:
        pixels = decoded(_content(picture), preprocess)
    except UNDECODABLE as error:
        return Unreadable(str(error) or type(error).__name__)
    return preprocessed(pixels[None], preprocess)[0]


def _content(picture: Picture) -> bytes | np.ndarray | Image.Image:
    if isinstance(picture, Image.Image):
        return picture
    if not isinstance(picture, np.ndarray):
        return Path(picture).read_bytes()
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(
            f"got an array {picture.dtype} {picture.shape}, expected uint8 (height, width, 3)"
        )
    return picture
