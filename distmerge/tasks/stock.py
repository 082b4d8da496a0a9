"""The decoded images of one source, on disk, before they are divided into roles."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import UnidentifiedImageError

from distmerge.tasks.decoding import UNDECODABLE, decoded
from distmerge.tasks.listing import THREADS, readable
from distmerge.tasks.records import Record, Records

_CHUNK = 16 * THREADS  # images in memory at a time


class Entry(NamedTuple):
    """One image of a stock; sorted by content, so that no container's order matters."""

    content: bytes
    label: int
    address: str
    position: int


@dataclass(frozen=True)
class Stock:
    """Images in the order of their source."""

    path: Path
    size: int
    entries: list[Entry] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def pixels(self) -> UInt8[np.ndarray, "image size size 3"]:
        """Give the mapped images; there must be one at least."""
        shape = (len(self.entries), self.size, self.size, 3)
        return np.memmap(self.path, np.uint8, "r", shape=shape)


def filled_stock(path: Path, size: int, records: Records, classes: tuple[str, ...]) -> Stock:
    """Give the stock of all records, decoded in parallel into one file.

    Labels are numbered as in ``classes``, by name if the source names its own numbers.

    Raises:
        DataError: a record cannot be read; what cannot be decoded is noted in the stock.
    """
    stock = Stock(path, size)
    own = records.classes or classes
    with path.open("wb") as file, ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(records.stream, _CHUNK)):
            for record, image in zip(chunk, pool.map(partial(_image, size), chunk), strict=True):
                if isinstance(image, str):
                    stock.unreadable.append(f"{record.address} ({image})")
                    continue
                label = _number(record.label, own, classes)
                if label is None:
                    stock.unknown.append(f"{record.label!r} of {record.address}")
                    continue
                content = hashlib.sha256(image).digest()
                position = len(stock.entries)
                stock.entries.append(Entry(content, label, record.address, position))
                file.write(image)
    return stock


def _image(size: int, record: Record) -> bytes | str:
    """Give the pixels, or why there are none."""
    with readable(record.address):
        content = record.read()
    if not len(content):
        return "empty"
    try:
        return decoded(content, size).tobytes()
    except UnidentifiedImageError:  # its text shows a stream's address in memory
        return "no known image format"
    except UNDECODABLE as error:
        return str(error) or type(error).__name__


def _number(label: int | str | None, own: tuple[str, ...], classes: tuple[str, ...]) -> int | None:
    if label is None:
        return -1  # of an unlabelled role
    if isinstance(label, int):
        if not 0 <= label < len(own):
            return None
        label = own[label]
    return classes.index(label) if label in classes else None
