"""Any kind of data becomes a folder of arrays, one file per role; made once, then mapped."""

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from distmerge.errors import DataError
from distmerge.spec import (
    BenchmarkData,
    Preprocess,
    RoleData,
    Tokens,
    WholeData,
    digest,
    is_url,
)
from distmerge.tasks.benchmarks import BENCHMARKS, benchmark_records
from distmerge.tasks.decoding import Rows, pixel_rows
from distmerge.tasks.found import made_once
from distmerge.tasks.listing import Listing, class_names, listed, writable
from distmerge.tasks.records import Kind, Records, Wanted
from distmerge.tasks.samples import SAMPLES
from distmerge.tasks.sources import source_records
from distmerge.tasks.splits import ROLE_ORDER, role_of, without_shared
from distmerge.tasks.stock import Entry, Stock, filled_stock
from distmerge.tasks.texts import token_rows

REVISION = 2  # raise it whenever an image, a role or an order comes out differently
Described = WholeData | RoleData | BenchmarkData


class Decoding(NamedTuple):
    """How data that are no arrays become arrays."""

    preprocess: Preprocess | Tokens
    """The tower's."""
    cache: Path
    """Folder of what was made before."""

    beside: Path = Path()
    """Folder of the tower's description, in which a tokenizer lies."""

    def rows(self) -> Rows:
        """Give how samples become rows.

        Raises:
            DataError: the tokenizer cannot be read.
        """
        if isinstance(self.preprocess, Preprocess):
            return pixel_rows(self.preprocess)
        return token_rows(self.preprocess, self.beside)


@dataclass(frozen=True)
class Part:
    """One source, and which share of it each role gets."""

    listing: Listing
    shares: Mapping[str, float]
    records: Callable[[Wanted], Records]
    lists: tuple[Listing, ...] = ()
    """Files beside the source that say which of its images are meant."""

    @property
    def role(self) -> str:
        """The only role of the source; empty if there are several."""
        return next(iter(self.shares)) if len(self.shares) == 1 else ""


class Placed(NamedTuple):
    """A sample and the stock that it lies in."""

    entry: Entry
    stock: int


def array_folder(data: Described, decoding: Decoding) -> Path:
    """Give a folder as ``load_tasks`` reads it, decoded from ``data`` if the cache has none.

    Beside the arrays lies ``ROLE.names.json``, the address of every sample. The samples of a role
    are in the order of their content, so that the first n are drawn at random, and the same samples
    make the same arrays whatever holds them.

    Raises:
        DataError: a source is missing, of no known kind, or has unreadable samples, unknown labels
            or unusable class names, or the tokenizer or the cache is missing.
    """
    rows = decoding.rows()
    parts = parts_of(data)
    classes = class_names(data.classes) if isinstance(data.classes, str) else data.classes
    other = "text" if rows.kind == "images" else "image"
    settings = data.model_dump(mode="json", exclude={"path", "root", "classes", other, *ROLE_ORDER})
    contents = [
        [list(part.shares.items())]
        + [one.content_digest(decoding.cache) for one in (part.listing, *part.lists)]
        for part in parts
    ]
    key = digest([REVISION, rows.identity, settings, classes, contents])
    folder = decoding.cache / key
    made_once(folder, partial(_make, folder, data, parts, classes, rows))
    return folder


def parts_of(data: Described) -> tuple[Part, ...]:
    """Give the sources of the data.

    Raises:
        DataError: a source is missing, or a URL where torchvision needs a folder.
    """
    if isinstance(data, WholeData):
        listing = listed(data.path)
        return (Part(listing, data.shares.model_dump(), partial(source_records, listing)),)
    if isinstance(data, RoleData):
        places = {role: getattr(data, role) for role in ROLE_ORDER}
        listings = {role: listed(place) for role, place in places.items() if place is not None}
        return tuple(
            Part(listing, {role: 1.0}, partial(source_records, listing))
            for role, listing in listings.items()
        )
    benchmark = BENCHMARKS[data.torchvision]
    if benchmark.dataset and is_url(data.root):
        raise DataError(f"{data}: torchvision reads local folders only; copy it, or give a path")
    root = data.root.rstrip("/")
    listing = listed(f"{root}/{benchmark.files}")
    return tuple(
        Part(
            listing,
            split.shares,
            partial(benchmark_records, data, split, listing),
            tuple(listed(f"{root}/{name}") for name in split.lists),
        )
        for split in benchmark.splits
    )


def _make(
    folder: Path,
    data: Described,
    parts: tuple[Part, ...],
    classes: tuple[str, ...] | None,
    rows: Rows,
) -> None:
    cache = folder.parent
    with writable(cache), tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=cache) as own:
        unfinished = Path(own) / folder.name  # others may read it, unlike the folder around it
        unfinished.mkdir()
        names, stocks = _stocks(unfinished, data, parts, classes, rows)
        (unfinished / "classes.json").write_text(json.dumps(names), encoding="utf-8")
        for role, samples in _roles(data, parts, stocks).items():
            _write(unfinished, role, samples, stocks)
        for stock in stocks:
            stock.path.unlink()
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.exists():  # else another process was faster, with the same arrays
                raise


def _stocks(
    folder: Path,
    data: Described,
    parts: tuple[Part, ...],
    classes: tuple[str, ...] | None,
    rows: Rows,
) -> tuple[tuple[str, ...], list[Stock]]:
    found = records_of(data, parts, classes, rows.kind)
    names = agreed_classes(parts, found, classes)
    stocks = [
        filled_stock(folder / f"{index}.rows", rows, records, names)
        for index, records in enumerate(found)
    ]
    _refuse_unusable(data, stocks, names)
    return names, stocks


def records_of(
    data: Described, parts: tuple[Part, ...], classes: tuple[str, ...] | None, kind: Kind
) -> list[Records]:
    """Give the records of every part, none of them read.

    Raises:
        DataError: the files of a part are of no kind or of several, or do not fit their kind.
    """
    if isinstance(data, BenchmarkData) and kind != "images":
        raise DataError(f"{data}: holds images, and the tower reads texts")
    columns = data.image, data.label, data.skip_unreadable, data.text, kind
    return [part.records(Wanted(classes, part.role, *columns)) for part in parts]


def agreed_classes(
    parts: tuple[Part, ...], found: list[Records], given: tuple[str, ...] | None
) -> tuple[str, ...]:
    """Give the study's class names, or those that all labelled sources agree on.

    Raises:
        DataError: there are none, sources differ, or a name appears twice.
    """
    own = {
        part.listing.location: records.classes
        for part, records in zip(parts, found, strict=True)
        if part.role != "adapt"
    }
    names = given or next(iter(own.values()))
    if names is None:
        raise DataError(
            f"{' and '.join(own)}: no class names; give classes, a list or a file of them"
        )
    if given is None and len(set(own.values())) > 1:
        counts = "; ".join(f"{place}: {_few(list(names or ()))}" for place, names in own.items())
        raise DataError(f"the roles name different classes, so give classes: {counts}")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"class names appear twice: {_few(twice)}")
    return names


def _refuse_unusable(data: Described, stocks: list[Stock], names: tuple[str, ...]) -> None:
    unknown = [label for stock in stocks for label in stock.unknown]
    if unknown:
        raise DataError(
            f"labels that are none of the {len(names)} classes: {_few(unknown)}; expected a name "
            f"of classes, or 0 to {len(names) - 1}"
        )
    unreadable = [sample for stock in stocks for sample in stock.unreadable]
    if len(unreadable) > data.skip_unreadable:
        total = len(unreadable) + sum(len(stock.entries) for stock in stocks)
        raise DataError(
            f"{len(unreadable)} of {total} {SAMPLES[stocks[0].rows.kind]} cannot be decoded, "
            f"{data.skip_unreadable} may (skip_unreadable): {_few(unreadable)}"
        )


def _few(things: list[str]) -> str:
    more = f" and {len(things) - 5} more" if len(things) > 5 else ""
    return ", ".join(things[:5]) + more


def _roles(
    data: Described, parts: tuple[Part, ...], stocks: list[Stock]
) -> dict[str, list[Placed]]:
    """Give the samples of every role, in the order of their content."""
    roles: dict[str, list[Placed]] = {role: [] for part in parts for role in part.shares}
    for index, (part, stock) in enumerate(zip(parts, stocks, strict=True)):
        for entry in stock.entries:
            roles[role_of(entry.content, part.shares)].append(Placed(entry, index))
    if data.shared == "drop":
        hashes = {role: [one.entry.content for one in samples] for role, samples in roles.items()}
        kept = without_shared(hashes)
        roles = {role: [samples[i] for i in kept[role]] for role, samples in roles.items()}
    return {role: sorted(samples) for role, samples in roles.items()}


def _write(folder: Path, role: str, samples: list[Placed], stocks: list[Stock]) -> None:
    rows = stocks[0].rows
    names = json.dumps([one.entry.address for one in samples])
    (folder / f"{role}.names.json").write_text(names, encoding="utf-8")
    if role != "adapt":
        np.save(folder / f"{role}.labels.npy", np.array([i.entry.label for i in samples], np.int64))
    path, shape = folder / f"{role}.{rows.kind}.npy", (len(samples), *rows.shape)
    if not samples:
        np.save(path, np.zeros(shape, rows.dtype))
        return
    array = np.lib.format.open_memmap(path, "w+", rows.dtype, shape)
    mapped = {index: stocks[index].array() for index in {one.stock for one in samples}}
    for place, one in enumerate(samples):
        array[place] = mapped[one.stock][one.entry.position]
    array.flush()
