"""Small grey images from IDX files, as MNIST and its relatives are published."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from distmerge.errors import ZooError
from distmerge.zoo.archives import file_contents
from distmerge.zoo.images import Scans, Side

_TRAIN, _TEST = "train", "t10k"


class ScanSource:
    """Gives scans; rows of the official training file train or adapt, official test rows report."""

    def __init__(self, recipe: Scans, side_pixels: int, packages: Mapping[str, Path]) -> None:
        archive = packages[recipe.package.package]
        files = file_contents(archive, lambda name: name.startswith(f"{recipe.folder}/"))
        train, test = (_pixels_and_labels(files, recipe, part) for part in (_TRAIN, _TEST))
        cut = len(train[1]) - recipe.adapt_rows
        self._classes = recipe.classes
        self._side_pixels = side_pixels
        self._sides: dict[Side, tuple[np.ndarray, np.ndarray]] = {
            "train": (train[0][:cut], train[1][:cut]),
            "adapt": (train[0][cut:], train[1][cut:]),
            "report": test,
        }

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self._classes

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"]:
        """Give a random scan of a class, framed in black to the zoo's size."""
        pixels, labels = self._sides[side]
        rows = np.flatnonzero(labels == label)
        return framed(pixels[rows[int(generator.integers(len(rows)))]], self._side_pixels)


def idx_array(content: bytes) -> UInt8[np.ndarray, "..."]:
    """Give the array of an IDX file of bytes: its shape in the header, big-endian, then values."""
    dimensions = content[3]
    header = 4 + 4 * dimensions
    shape = np.frombuffer(content[4:header], dtype=">u4").astype(int)
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def framed(
    scan: UInt8[np.ndarray, "rows columns"], side: int
) -> UInt8[np.ndarray, "height width 3"]:
    """Give a grey scan as RGB in the middle of a black square."""
    before = [(side - length) // 2 for length in scan.shape]
    around = [(b, side - b - length) for b, length in zip(before, scan.shape, strict=True)]
    return np.repeat(np.pad(scan, around)[..., None], 3, axis=-1)


def _pixels_and_labels(
    files: Mapping[str, bytes], recipe: Scans, part: str
) -> tuple[np.ndarray, np.ndarray]:
    return (
        idx_array(_content(files, f"{recipe.folder}/{part}-images-idx3-ubyte")),
        idx_array(_content(files, f"{recipe.folder}/{part}-labels-idx1-ubyte")),
    )


def _content(files: Mapping[str, bytes], name: str) -> bytes:
    if name in files:
        return files[name]
    if f"{name}.gz" in files:
        return gzip.decompress(files[f"{name}.gz"])
    raise ZooError(f"no file {name} or {name}.gz in the package; files there: {sorted(files)}")
