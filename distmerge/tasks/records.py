"""What every kind of source gives: one record per sample, read when it is needed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

Kind: TypeAlias = Literal["images", "tokens"]


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
    text: str = "text"
    kind: Kind = "images"
    """What the tower reads: images, or texts as token numbers."""

    @property
    def column(self) -> str:
        """The column of a table that holds the samples."""
        return self.image if self.kind == "images" else self.text

    @property
    def labelled(self) -> bool:
        """Whether labels are read."""
        return self.role != "adapt"


class Record(NamedTuple):
    """One image or text."""

    address: str
    """Names the sample to the user."""
    read: Callable[[], bytes | str | np.ndarray]
    """Gives an encoded image, a text, or pixels or token numbers."""
    label: int | str | None
    """A class's number or name; none where labels are not read."""


@dataclass(frozen=True)
class Records:
    """The samples of one source, to go through once."""

    classes: tuple[str, ...] | None
    """What the source calls its classes, where it says so."""
    stream: Iterator[Record]
    count: Callable[[], int] | None = None
    """Gives how many there are without reading them; none: only reading tells."""
