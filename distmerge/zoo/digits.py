"""Scanned digits of scikit-learn, 8 x 8 pixels, enlarged; every role has its own rows."""

from collections.abc import Mapping

import numpy as np
from PIL import Image

from distmerge.models import address_seed
from distmerge.zoo.images import Digits, Role
from distmerge.zoo.pictures import Pictures

CLASSES = tuple("0123456789")


def digit_pictures(
    recipe: Digits, counts: Mapping[Role, int], *, side_pixels: int, seed: int
) -> dict[Role, Pictures]:
    """Give the images of every role, shuffled within the role."""
    from sklearn.datasets import load_digits

    scans = load_digits()
    pictures: dict[Role, Pictures] = {}
    for role, first in recipe.first_row.items():
        generator = np.random.default_rng(address_seed(seed, "digits", role))
        rows = first + generator.permutation(counts[role])
        pixels = np.stack([_enlarged(scans.images[row], side_pixels) for row in rows])
        pictures[role] = Pictures(pixels, scans.target[rows].astype(np.int64))
    return pictures


def _enlarged(scan: np.ndarray, side: int) -> np.ndarray:
    grey = Image.fromarray((scan / 16 * 255).astype(np.uint8))
    large = np.asarray(grey.resize((side, side), Image.Resampling.BICUBIC))
    return np.repeat(large[..., None], 3, axis=-1)
