"""Images or texts of one role of one task, with or without labels."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float, Int64, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import interpolate

from distmerge.spec import Preprocess, Tokens

SAMPLES = {"images": "images", "tokens": "texts"}  # what files of arrays hold, for the user
_SQUARES = (
    "the centre of an image (resize: shortest): cut the images before, or give image files, which "
    "are cut as the tower's preprocess says"
)
ModelInput: TypeAlias = Shaped[Tensor, "sample ..."]
"""What a tower reads: preprocessed images, or token numbers of texts."""


@dataclass(frozen=True)
class Samples:
    """Unlabelled images or texts, read by index. There is no label to leak."""

    array: Shaped[np.ndarray, "sample ..."]
    """Pixels, uint8 (sample, height, width, 3), or token numbers, integers (sample, token)."""
    digest: str

    def __len__(self) -> int:
        return len(self.array)

    def batch(
        self, indices: Int64[np.ndarray, " batch"], preprocess: Preprocess | Tokens
    ) -> ModelInput:
        """Give the samples at ``indices`` as a tower's input."""
        return model_input(self.array[indices], preprocess)

    def batches(
        self, size: int, preprocess: Preprocess | Tokens, *, first: int | None = None
    ) -> Iterator[ModelInput]:
        """Give all samples, or the ``first`` ones, in order, at most ``size`` at a time."""
        count = len(self) if first is None else min(first, len(self))
        for indices in block_ranges(count, size):
            yield self.batch(np.asarray(indices), preprocess)


@dataclass(frozen=True)
class LabelledSamples:
    """Samples with their class numbers."""

    samples: Samples
    labels: Int64[np.ndarray, " sample"]

    @property
    def digest(self) -> str:
        """Identifies samples and labels; ``samples.digest`` does not depend on the labels."""
        return array_digest(self.samples.array, self.labels)

    def __len__(self) -> int:
        return len(self.samples)


def block_ranges(num_samples: int, block: int) -> Iterator[range]:
    """Yield consecutive index ranges of at most ``block`` samples."""
    for start in range(0, num_samples, block):
        yield range(start, min(start + block, num_samples))


def model_input(
    array: Shaped[np.ndarray, "batch ..."], preprocess: Preprocess | Tokens
) -> Shaped[Tensor, "batch ..."]:
    """Give pixels or token numbers as a tower reads them."""
    if isinstance(preprocess, Preprocess):
        return preprocessed(array, preprocess)
    return torch.from_numpy(array.astype(np.int64))


def array_kind(preprocess: Preprocess | Tokens) -> Literal["images", "tokens"]:
    """Give how files of arrays are called: ``ROLE.images.npy`` or ``ROLE.tokens.npy``."""
    return "images" if isinstance(preprocess, Preprocess) else "tokens"


def sample_problem(array: np.ndarray, preprocess: Preprocess | Tokens) -> str | None:
    """Give what an array should be and is not; None if it is what a tower can read."""
    if isinstance(preprocess, Preprocess):
        fits = array.dtype == np.uint8 and array.ndim == 4 and array.shape[-1] == 3
        expected = "uint8 (image, height, width, 3)"
        if fits and preprocess.resize == "shortest" and array.shape[1] != array.shape[2]:
            fits, expected = False, f"squares, as the tower reads {_SQUARES}"
    else:
        fits = array.dtype.kind in "iu" and array.ndim == 2
        fits = fits and array.shape[1] <= preprocess.length
        expected = f"integers (text, token) of at most {preprocess.length} tokens"
    if fits and 0 not in array.shape[1:]:
        return None
    return f"got {array.dtype} {array.shape}, expected {expected}"


def preprocessed(
    pixels: UInt8[np.ndarray, "batch height width 3"], preprocess: Preprocess
) -> Float[Tensor, "batch 3 size size"]:
    """Give pixels scaled to [0, 1], normalised per channel and resized to a square."""
    copied = torch.from_numpy(np.array(pixels))  # torch must not share read-only pixels
    scaled = copied.permute(0, 3, 1, 2).float() / 255
    shape = (1, 3, 1, 1)
    mean = torch.tensor(preprocess.mean).view(shape)
    std = torch.tensor(preprocess.std).view(shape)
    normalised = (scaled - mean) / std
    size = (preprocess.size, preprocess.size)
    if normalised.shape[-2:] == size:
        return normalised
    mode = preprocess.interpolation
    return interpolate(normalised, size, mode=mode, align_corners=False, antialias=True)


def array_digest(*arrays: np.ndarray) -> str:
    """Give 16 hexadecimal digits that identify the arrays' shapes, types and content."""
    total = hashlib.sha256()
    for array in arrays:
        total.update(f"{array.dtype.str}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)  # uncopied
    return total.hexdigest()[:16]


def sample_hashes(array: Shaped[np.ndarray, "sample ..."]) -> dict[bytes, int]:
    """Give the content hashes of the samples, each with the place of one such sample."""
    return {hashlib.sha256(sample.tobytes()).digest(): i for i, sample in enumerate(array)}
