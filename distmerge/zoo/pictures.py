"""Images with class numbers, drawn class after class so that any first N are balanced."""

from collections.abc import Mapping
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Int32, Int64, UInt8

from distmerge.errors import ZooError
from distmerge.zoo.images import Side

_ATTEMPTS = 200  # draws for one image, before its class counts as exhausted


def side_at(shares: Mapping[Side, float], position: float) -> Side:
    """Give the side that a position in [0, 1) falls on, the sides laid end to end."""
    total = 0.0
    for side, share in shares.items():
        total += share
        if position < total:
            return side
    return "report"


class Pictures(NamedTuple):
    """Images, or token numbers of texts, and the number of each one's class."""

    pixels: UInt8[np.ndarray, "image height width 3"] | Int32[np.ndarray, "image token"]
    labels: Int64[np.ndarray, " image"]

    @property
    def kind(self) -> Literal["images", "tokens"]:
        """How their file of arrays is called."""
        return "images" if self.pixels.ndim == 4 else "tokens"


@runtime_checkable
class PictureSource(Protocol):
    """Gives random images of a class, from one side of the source's material."""

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes."""
        ...

    def draw(
        self, side: Side, label: int, generator: np.random.Generator
    ) -> UInt8[np.ndarray, "height width 3"] | None:
        """Give an image of a class, or nothing where the draw shows nothing."""
        ...


def collected(
    source: PictureSource,
    side: Side,
    count: int,
    *,
    generator: np.random.Generator,
    seen: set[bytes],
) -> Pictures:
    """Give ``count`` images in rounds over the classes, each round in a new order.

    Args:
        source: where the images come from.
        side: the side of the source that is drawn from.
        count: number of images.
        generator: gives every random number.
        seen: contents of earlier images, which are not given again; the new ones are added.

    Raises:
        ZooError: a class has too few different images.
    """
    num_classes = len(source.classes)
    rounds = [generator.permutation(num_classes) for _ in range(-(-count // num_classes))]
    labels = np.concatenate(rounds)[:count].astype(np.int64)
    return Pictures(
        np.stack([_fresh(source, side, int(label), generator, seen) for label in labels]), labels
    )


def _fresh(
    source: PictureSource,
    side: Side,
    label: int,
    generator: np.random.Generator,
    seen: set[bytes],
) -> UInt8[np.ndarray, "height width 3"]:
    for _ in range(_ATTEMPTS):
        pixels = source.draw(side, label, generator)
        if pixels is not None and (content := pixels.tobytes()) not in seen:
            seen.add(content)
            return pixels
    raise ZooError(
        f"class {source.classes[label]}: no new image for {side} in {_ATTEMPTS} draws; "
        "ask for fewer images or take more material into the recipe"
    )
