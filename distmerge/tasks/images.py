"""Images of one role of one task, with or without labels."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from distmerge.spec import Preprocess


@dataclass(frozen=True)
class Images:
    """Unlabelled images, read by index. There is no label to leak."""

    pixels: UInt8[np.ndarray, "image height width 3"]
    digest: str

    def __len__(self) -> int:
        return len(self.pixels)

    def batch(
        self, indices: Int64[np.ndarray, " batch"], preprocess: Preprocess
    ) -> Float[Tensor, "batch 3 size size"]:
        """Give the images at ``indices`` as a tower's input."""
        return preprocessed(self.pixels[indices], preprocess)

    def batches(
        self, size: int, preprocess: Preprocess, *, first: int | None = None
    ) -> Iterator[Float[Tensor, "batch 3 size size"]]:
        """Give all images, or the ``first`` ones, in order, at most ``size`` at a time."""
        count = len(self) if first is None else min(first, len(self))
        for indices in block_ranges(count, size):
            yield self.batch(np.asarray(indices), preprocess)


@dataclass(frozen=True)
class LabelledImages:
    """Images with their class numbers."""

    images: Images
    labels: Int64[np.ndarray, " image"]

    @property
    def digest(self) -> str:
        """Identifies images and labels; ``images.digest`` does not depend on the labels."""
        return array_digest(self.images.pixels, self.labels)

    def __len__(self) -> int:
        return len(self.images)


def block_ranges(num_images: int, block: int) -> Iterator[range]:
    """Yield consecutive index ranges of at most ``block`` images."""
    for start in range(0, num_images, block):
        yield range(start, min(start + block, num_images))


def preprocessed(
    pixels: UInt8[np.ndarray, "batch height width 3"], preprocess: Preprocess
) -> Float[Tensor, "batch 3 size size"]:
    """Give pixels scaled to [0, 1], normalised per channel and resized bicubically."""
    copied = torch.from_numpy(np.array(pixels))  # torch must not share read-only pixels
    scaled = copied.permute(0, 3, 1, 2).float() / 255
    shape = (1, 3, 1, 1)
    mean = torch.tensor(preprocess.mean).view(shape)
    std = torch.tensor(preprocess.std).view(shape)
    normalised = (scaled - mean) / std
    size = (preprocess.size, preprocess.size)
    if normalised.shape[-2:] == size:
        return normalised
    return interpolate(normalised, size, mode="bicubic", align_corners=False, antialias=True)


def array_digest(*arrays: np.ndarray) -> str:
    """Give 16 hexadecimal digits that identify the arrays' shapes, types and content."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # uncopied
    return total.hexdigest()[:16]


def image_hashes(pixels: UInt8[np.ndarray, "image height width 3"]) -> dict[bytes, int]:
    """Give the content hashes of the images, each with the place of one such image."""
    return {hashlib.sha256(image.tobytes()).digest(): i for i, image in enumerate(pixels)}
