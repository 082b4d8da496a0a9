"""Parquet files and Hugging Face datasets saved on disk, read with pyarrow alone."""

import json
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from distmerge.errors import DataError
from distmerge.tasks.listing import File, Listing, readable
from distmerge.tasks.records import Record, Records, Wanted

TABLES = (".parquet", ".arrow")
_ROWS = 64


def table_records(listing: Listing, wanted: Wanted) -> Records:
    """Give the rows of Parquet or Arrow files; classes are named by Hugging Face's metadata.

    Raises:
        DataError: the folder holds several splits, a file cannot be read, or a column is missing.
    """
    splits = [file.name for file in listing.files if file.name.endswith("dataset_dict.json")]
    if splits:
        raise DataError(
            f"{listing.location}: holds several splits; give one per role, such as "
            f"{{adapt: {listing.location}/train, ...}}"
        )
    files = [file for file in listing.files if is_table(file.name)]
    return Records(_classes(listing, files, wanted), _stream(listing, files, wanted))


def is_table(name: str) -> bool:
    """Whether it is a file of rows, and not one of Hugging Face's caches beside them."""
    return name.endswith(TABLES) and not name.rpartition("/")[2].startswith("cache-")


def _classes(listing: Listing, files: list[File], wanted: Wanted) -> tuple[str, ...] | None:
    """Give the names in the first file's metadata, or the different labels if they are text."""
    if not wanted.labelled:
        return None
    with readable(listing.location), listing.open(files[0]) as stream:
        schema = _table(files[0], stream, []).schema
    _refuse_columns(f"{listing.location}, {files[0].name}", schema, wanted)
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = described.get("info", {}).get("features", {}).get(wanted.label, {})
    if isinstance(feature, dict) and feature.get("names"):
        return tuple(feature["names"])
    kind = schema.field(wanted.label).type
    if wanted.classes or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    only = wanted._replace(image=wanted.label)
    labels = {r.label for file in files for r in _rows(listing, file, only)}
    return tuple(sorted(str(label) for label in labels if label is not None))


def _stream(listing: Listing, files: list[File], wanted: Wanted) -> Iterator[Record]:
    for file in files:
        yield from _rows(listing, file, wanted)


def _rows(listing: Listing, file: File, wanted: Wanted) -> Iterator[Record]:
    columns = [wanted.image, *([wanted.label] if wanted.labelled else [])]
    place, row = f"{listing.location}, {file.name}", 0
    with readable(place), listing.open(file) as stream:
        table = _table(file, stream, columns)
        _refuse_columns(place, table.schema, wanted)
        for batch in table.batches:
            labels = batch[wanted.label].to_pylist() if wanted.labelled else [None] * len(batch)
            for image, label in zip(batch[wanted.image], labels, strict=True):
                known = label if isinstance(label, int | str) or not wanted.labelled else str(label)
                yield Record(f"{file.name} row {row}", partial(_content, image), known)
                row += 1


class _Table(NamedTuple):
    schema: Any
    batches: Iterator[Any]


def _table(file: File, stream: Any, columns: list[str]) -> _Table:
    if file.name.endswith(".parquet"):
        parquet = pq.ParquetFile(stream)
        return _Table(parquet.schema_arrow, parquet.iter_batches(_ROWS, columns=columns))
    reader = pa.ipc.open_stream(stream)
    slices = (batch.slice(i, _ROWS) for batch in reader for i in range(0, len(batch), _ROWS))
    return _Table(reader.schema, slices)


def _content(image: Any) -> bytes:
    value = image.as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else b""  # null, or a path without its content


def _refuse_columns(place: str, schema: Any, wanted: Wanted) -> None:
    names = {"image": wanted.image, **({"label": wanted.label} if wanted.labelled else {})}
    missing = [f"{key}: {name}" for key, name in names.items() if name not in schema.names]
    if missing:
        raise DataError(
            f"{place}: no column for {' and '.join(missing)}; it has "
            f"{', '.join(schema.names)}: set image and label to the right ones"
        )
