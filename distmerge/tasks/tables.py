"""Files of rows, Hugging Face datasets saved on disk among them, read with pyarrow alone."""

import json
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.json
import pyarrow.parquet as pq

from distmerge.errors import DataError
from distmerge.tasks.listing import File, Listing, readable
from distmerge.tasks.records import Kind, Record, Records, Wanted

_BINARY = (".parquet", ".arrow")
_DELIMITERS = {".csv": ",", ".tsv": "\t"}
_JSON = ".jsonl"
_ROWS = 64
_BLOCK = 2**26  # bytes in which a row of text has to fit


def table_records(listing: Listing, wanted: Wanted) -> Records:
    """Give the rows of all files; classes are named by Hugging Face's metadata or the labels.

    Raises:
        DataError: the folder holds several splits, a file cannot be read, or a column is missing.
    """
    splits = [file.name for file in listing.files if file.name.endswith("dataset_dict.json")]
    if splits:
        raise DataError(
            f"{listing.location}: holds several splits; give one per role, such as "
            f"{{adapt: {listing.location}/train, ...}}"
        )
    suffixes = table_suffixes(wanted.kind)
    files = [file for file in listing.files if is_table(suffixes, file.name)]
    footers = all(file.name.endswith(".parquet") for file in files)  # Arrow files have none
    count = partial(_count, listing, files) if footers else None
    return Records(_classes(listing, files, wanted), _stream(listing, files, wanted), count)


def _count(listing: Listing, files: list[File]) -> int:
    total = 0
    for file in files:
        with readable(f"{listing.location}, {file.name}"), listing.open(file) as stream:
            total += pq.read_metadata(stream).num_rows
    return total


def table_suffixes(kind: Kind) -> tuple[str, ...]:
    """Give how files of rows end; beside images, CSV and JSON Lines files are only notes."""
    return _BINARY if kind == "images" else (*_BINARY, *_DELIMITERS, _JSON)


def is_table(suffixes: tuple[str, ...], name: str) -> bool:
    """Whether it is a file of rows, and not one of Hugging Face's caches beside them."""
    return name.endswith(suffixes) and not name.rpartition("/")[2].startswith("cache-")


def _classes(listing: Listing, files: list[File], wanted: Wanted) -> tuple[str, ...] | None:
    """Give the names in the first file's metadata, or the different labels if they are text."""
    if not wanted.labelled:
        return None
    with readable(listing.location), listing.open(files[0]) as stream:
        schema = _table(files[0], stream, wanted, []).schema
    _refuse_columns(f"{listing.location}, {files[0].name}", schema, wanted)
    described = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
    feature = described.get("info", {}).get("features", {}).get(wanted.label, {})
    if isinstance(feature, dict) and feature.get("names"):
        return tuple(feature["names"])
    kind = schema.field(wanted.label).type
    if wanted.classes or not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        return None
    only = wanted._replace(image=wanted.label, text=wanted.label)
    labels = {r.label for file in files for r in _rows(listing, file, only)}
    return tuple(sorted(str(label) for label in labels if label is not None))


def _stream(listing: Listing, files: list[File], wanted: Wanted) -> Iterator[Record]:
    for file in files:
        yield from _rows(listing, file, wanted)


def _rows(listing: Listing, file: File, wanted: Wanted) -> Iterator[Record]:
    columns = [wanted.column, *([wanted.label] if wanted.labelled else [])]
    place, row = f"{listing.location}, {file.name}", 0
    with readable(place), listing.open(file) as stream:
        table = _table(file, stream, wanted, columns)
        _refuse_columns(place, table.schema, wanted)
        for batch in table.batches:
            labels = batch[wanted.label].to_pylist() if wanted.labelled else [None] * len(batch)
            for sample, label in zip(batch[wanted.column], labels, strict=True):
                known = label if isinstance(label, int | str) or not wanted.labelled else str(label)
                read = partial(_image if wanted.kind == "images" else _text, sample)
                yield Record(f"{file.name} row {row}", read, known)
                row += 1


class _Table(NamedTuple):
    schema: Any
    batches: Iterator[Any]


def _table(file: File, stream: Any, wanted: Wanted, columns: list[str]) -> _Table:
    if file.name.endswith(".parquet"):
        parquet = pq.ParquetFile(stream)
        return _Table(parquet.schema_arrow, parquet.iter_batches(_ROWS, columns=columns))
    if file.name.endswith(".arrow"):
        reader = pa.ipc.open_stream(stream)
        return _Table(reader.schema, _slices(reader))
    return _text_table(file, stream, {wanted.text: pa.string()})


def _text_table(file: File, stream: Any, types: dict[str, Any]) -> _Table:
    """Give the rows of a text file; only the types of other columns are guessed."""
    if file.name.endswith(_JSON):
        table = pyarrow.json.read_json(
            stream,
            pyarrow.json.ReadOptions(block_size=_BLOCK),
            pyarrow.json.ParseOptions(explicit_schema=pa.schema(list(types.items()))),
        )
        return _Table(table.schema, _slices(table.to_batches()))
    delimiter = _DELIMITERS[f".{file.name.rpartition('.')[2]}"]
    reader = pyarrow.csv.open_csv(
        stream,
        pyarrow.csv.ReadOptions(block_size=_BLOCK),
        pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
        pyarrow.csv.ConvertOptions(column_types=types),
    )
    return _Table(reader.schema, _slices(reader))


def _slices(batches: Iterable[Any]) -> Iterator[Any]:
    for batch in batches:
        yield from (batch.slice(i, _ROWS) for i in range(0, len(batch), _ROWS))


def _text(sample: Any) -> str:
    value = sample.as_py()
    return value if isinstance(value, str) else ""  # null


def _image(sample: Any) -> bytes:
    value = sample.as_py()
    content = value.get("bytes") if isinstance(value, dict) else value
    return content if isinstance(content, bytes) else b""  # null, or a path without its content


def _refuse_columns(place: str, schema: Any, wanted: Wanted) -> None:
    sample = "image" if wanted.kind == "images" else "text"
    names = {sample: wanted.column, **({"label": wanted.label} if wanted.labelled else {})}
    missing = [f"{key}: {name}" for key, name in names.items() if name not in schema.names]
    if missing:
        raise DataError(
            f"{place}: no column for {' and '.join(missing)}; it has "
            f"{', '.join(schema.names)}: set {sample} and label to the right ones"
        )
