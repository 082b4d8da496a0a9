"""Which kind of source a location is, and its records."""

import json
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np

from distmerge.errors import DataError
from distmerge.tasks.image_folder import SUFFIXES, folder_records
from distmerge.tasks.listing import Listing, readable
from distmerge.tasks.records import Record, Records, Wanted
from distmerge.tasks.shards import SHARDS, shard_records
from distmerge.tasks.tables import is_table, table_records, table_suffixes


def source_records(listing: Listing, wanted: Wanted) -> Records:
    """Give the records of a source of any kind; its files say which.

    Raises:
        DataError: the files are of no kind or of several, or do not fit their kind.
    """
    suffixes = table_suffixes(wanted.kind)
    kinds: dict[str, tuple[Callable[[str], bool], Callable[[Listing, Wanted], Records]]] = {
        f"arrays (ROLE{_ending(wanted)})": (partial(_is_array, wanted), _array_records),
        f"tables ({', '.join(suffixes)})": (partial(is_table, suffixes), table_records),
    }
    if wanted.kind == "images":
        kinds["shards (.tar)"] = (_is_shard, shard_records)
        kinds["images"] = (_is_image, folder_records)
    found = [
        kind for kind, (is_kind, _) in kinds.items() if any(is_kind(f.name) for f in listing.files)
    ]
    if len(found) != 1:
        raise DataError(
            f"{listing.location}: {len(listing.files)} files, of which are "
            f"{' and '.join(found) or 'none'}; expected one of {', '.join(kinds)}: name the "
            "folder or write a glob that holds one kind"
        )
    return kinds[found[0]][1](listing, wanted)


def _ending(wanted: Wanted) -> str:
    return f".{wanted.kind}.npy"


def _is_array(wanted: Wanted, name: str) -> bool:
    return name.endswith(_ending(wanted))


def _is_shard(name: str) -> bool:
    return name.endswith(SHARDS)


def _is_image(name: str) -> bool:
    return name.lower().endswith(SUFFIXES)


def _array_records(listing: Listing, wanted: Wanted) -> Records:
    """Give the arrays of one role.

    Raises:
        DataError: an array or the class names are missing.
    """
    if not wanted.role:
        raise DataError(
            f"{listing.location}: holds arrays of every role; write data: {listing.location}, or "
            "data: {adapt: ..., select: ..., report: ...}"
        )
    files = {file.name: file for file in listing.files}
    names = [f"{wanted.role}{_ending(wanted)}"]
    names += [f"{wanted.role}.labels.npy", "classes.json"] if wanted.labelled else []
    missing = [name for name in names if name not in files]
    if missing:
        raise DataError(f"{listing.location}: expected {' and '.join(missing)}")
    classes = None
    if wanted.labelled:
        with readable(listing.location):
            classes = tuple(map(str, json.loads(listing.read(files["classes.json"]))))
    return Records(classes, _array_stream(listing, names[:2]))


def _array_stream(listing: Listing, names: list[str]) -> Iterator[Record]:
    files = {file.name: file for file in listing.files}
    arrays = []
    for name in names:
        with readable(f"{listing.location}, {name}"), listing.open(files[name]) as stream:
            arrays.append(np.load(stream, allow_pickle=False))
    for index, row in enumerate(arrays[0]):
        label = int(arrays[1][index]) if len(arrays) > 1 else None
        yield Record(f"{names[0]}[{index}]", row.copy, label)
