"""The decoded samples of one source, on disk, before they are divided into roles."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Shaped
from PIL import UnidentifiedImageError

from distmerge.tasks.decoding import UNDECODABLE, Rows
from distmerge.tasks.listing import THREADS, readable
from distmerge.tasks.records import Record, Records

_CHUNK = 16 * THREADS  # samples in memory at a time


class Entry(NamedTuple):
    """One sample of a stock; sorted by content, so that no container's order matters."""

    content: bytes
    label: int
    address: str
    position: int


@dataclass(frozen=True)
class Stock:
    """Samples in the order of their source."""

    path: Path
    rows: Rows
    entries: list[Entry] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def array(self) -> Shaped[np.ndarray, "sample ..."]:
        """Give the mapped rows; there must be one at least."""
        shape = (len(self.entries), *self.rows.shape)
        return np.memmap(self.path, self.rows.dtype, "r", shape=shape)


def filled_stock(path: Path, rows: Rows, records: Records, classes: tuple[str, ...]) -> Stock:
    """Give the stock of all records, decoded in parallel into one file.

    Labels are numbered as in ``classes``, by name if the source names its own numbers.

    Raises:
        DataError: a record cannot be read; what cannot be decoded is noted in the stock.
    """
    stock = Stock(path, rows)
    own = records.classes or classes
    with path.open("wb") as file, ThreadPoolExecutor(THREADS) as pool:
        while chunk := list(islice(records.stream, _CHUNK)):
            for record, row in zip(chunk, pool.map(partial(_row, rows), chunk), strict=True):
                if isinstance(row, str):
                    stock.unreadable.append(f"{record.address} ({row})")
                    continue
                label = _number(record.label, own, classes)
                if label is None:
                    stock.unknown.append(f"{record.label!r} of {record.address}")
                    continue
                content = hashlib.sha256(row).digest()
                position = len(stock.entries)
                stock.entries.append(Entry(content, label, record.address, position))
                file.write(row)
    return stock


def _row(rows: Rows, record: Record) -> bytes | str:
    """Give the bytes of a row, or why there are none."""
    with readable(record.address):
        content = record.read()
    if not len(content):
        return "empty"
    try:
        return rows.made(content).tobytes()
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
