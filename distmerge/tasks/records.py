"""What every kind of source gives: one record per image, read when it is needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Wanted(NamedTuple):
    """What to read of a source."""

    classes: tuple[str, ...] | None
    """The class names that the study gives."""
    role: str
    """Which of a task's roles; empty: the source holds several."""
    image: str = "image"
    label: str = "label"
    skip_unreadable: int = 0
    """How many files that are no images to pass over."""

    @property
    def labelled(self) -> bool:
        """Whether labels are read."""
        return self.role != "adapt"


class Record(NamedTuple):
    """One image."""

    address: str
    """Names the image to the user."""
    read: Callable[[], bytes | np.ndarray]
    """Gives an encoded image, or its pixels."""
    label: int | str | None
    """A class's number or name; none where labels are not read."""


@dataclass(frozen=True)
class Records:
    """The images of one source, to go through once."""

    classes: tuple[str, ...] | None
    """What the source calls its classes, where it says so."""
    stream: Iterator[Record]
