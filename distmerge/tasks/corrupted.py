"""Which corruption an image gets is addressed: (seed, task name, index), at one of three levels.

The levels are ours, as BD-Merging does not publish its own: every image gets one of the seven
corruptions, at severity 1, 2 or 3 (algorithms.md 4).
"""

from typing import Literal, NamedTuple, get_args

import numpy as np

from distmerge.errors import ConfigError
from distmerge.spec import digest
from distmerge.tasks.corruptions import CORRUPTIONS, CorruptionName, corrupted
from distmerge.tasks.samples import Samples, array_digest

Level = Literal["L1", "L2", "L3"]
LEVELS: tuple[Level, ...] = get_args(Level)

REVISION = 1  # raise it whenever an image comes out differently


class Corruption(NamedTuple):
    """What happens to one image."""

    name: CorruptionName
    severity: int


def corruption_of(seed: int, task: str, index: int, level: str) -> Corruption:
    """Give the corruption of the image at ``index``; levels differ in its severity alone.

    Raises:
        ConfigError: the level is unknown.
    """
    if level not in LEVELS:
        raise ConfigError(f"corruption level: got {level!r}, expected one of {', '.join(LEVELS)}")
    name = CORRUPTIONS[_address(seed, task, index, "corruption") % len(CORRUPTIONS)]
    return Corruption(name, 1 + LEVELS.index(level))


def corrupted_images(images: Samples, *, seed: int, task: str, level: str) -> Samples:
    """Give the images with each one's corruption; the same noise at every level.

    The digest covers the address and the resulting pixels, so that images made by another
    version of a library are never taken for these.

    Raises:
        ConfigError: the level is unknown.
    """
    pixels = np.empty(images.array.shape, dtype=np.uint8)
    for index, image in enumerate(images.array):
        corruption = corruption_of(seed, task, index, level)
        bits = np.random.Philox(_address(seed, task, index, "noise"))
        pixels[index] = corrupted(image, *corruption, np.random.Generator(bits))
    pixels.flags.writeable = False
    content = [REVISION, images.digest, seed, task, level, array_digest(pixels)]
    return Samples(pixels, digest(content))


def _address(seed: int, task: str, index: int, use: str) -> int:
    return int(digest([seed, task, index, use]), 16)
