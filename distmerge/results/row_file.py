"""What one file of rows holds, and what is wrong with it."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, get_args

from distmerge.results.record import Status
from distmerge.results.schema import PARTITION_COLUMNS, SCHEMA_VERSION

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.fs as pafs

NAME = re.compile(
    r"study=(?P<study>[^/]+)/method=(?P<method>[^/]+)/(?P<run_id>[^/]+)-(?P<attempt>\d+)\.parquet"
)
"""Where a file of rows lies, below the root."""
NEEDED = ("run_id", "attempt", "status", "suite", "task", "metric", "value")
_OPTIONAL = ("corruption", "severity", "level", "schema_version")
_MEASURED = ("suite", "corruption", "severity", "level", "task", "metric")
_RERUN = "delete it and run the sweep again: that repeats what it held and nothing else"
_BY_HAND = "it was changed by hand or by another program; " + _RERUN


class Finding(NamedTuple):
    """Something wrong in a results dataset."""

    place: str
    """Below the root."""
    problem: str
    mend: str


class RowFile(NamedTuple):
    """A readable file of rows: one attempt at one run."""

    place: str
    study: str
    method: str
    run_id: str
    attempt: int
    is_ok: bool
    schema: "pa.Schema"


def inspect(
    filesystem: "pafs.FileSystem", root: str, place: str
) -> tuple[RowFile | None, list[Finding]]:
    """Give what a file named as ``NAME`` holds and what is wrong in it; it is read whole.

    The first is None if the file cannot be read, holds no row (withdrawn) or has just gone.
    """
    from pyarrow import ArrowException, parquet

    try:
        with filesystem.open_input_file(f"{root}/{place}") as stream:
            table = parquet.ParquetFile(stream).read(use_threads=False)
    except FileNotFoundError:
        return None, []  # a sweep has replaced it since it was listed
    except (OSError, ArrowException) as error:
        line = str(error).splitlines()[0]
        return None, [Finding(place, f"torn, or no Parquet file ({line})", _RERUN)]
    return _read(place, table)


def _read(place: str, table: "pa.Table") -> tuple[RowFile | None, list[Finding]]:
    there = set(table.column_names)
    missing = [name for name in NEEDED if name not in there]
    if missing:
        problem = f"has no column {', '.join(missing)}"
        return None, [Finding(place, problem, "move it elsewhere: it holds no run")]
    if not table.num_rows:
        return None, []
    key = NAME.fullmatch(place)
    assert key is not None
    used = [name for name in (*NEEDED, *_OPTIONAL, *PARTITION_COLUMNS) if name in there]
    rows: pd.DataFrame = table.select(used).to_pandas()  # a hundred settings would take their time
    run_id, attempt = key["run_id"], int(key["attempt"])
    is_ok = bool((rows["status"] == "ok").all())
    file = RowFile(place, key["study"], key["method"], run_id, attempt, is_ok, table.schema)
    found = [*_findings(file, rows), *_key_findings(file.method, table)]
    return file, [Finding(place, problem, mend) for problem, mend in found]


def _findings(file: RowFile, rows: "pd.DataFrame") -> Iterator[tuple[str, str]]:
    """Yield problem and mend."""
    repeated = [name for name in PARTITION_COLUMNS if name in rows]
    if repeated:
        yield f"repeats the partition keys {', '.join(repeated)} as columns", _BY_HAND
    if "schema_version" in rows and rows["schema_version"].max() > SCHEMA_VERSION:
        newest = rows["schema_version"].max()
        yield (
            f"schema version {newest}, this distmerge reads up to {SCHEMA_VERSION}",
            ("update distmerge"),
        )
    named = {"run_id": file.run_id, "attempt": file.attempt}
    for column, expected in named.items():
        others = sorted(set(map(str, rows[column])) - {str(expected)})
        if others:
            problem = f"{column}: the name says {expected}, the rows {', '.join(others)}"
            yield problem, "give it the name RUN-ATTEMPT.parquet that its rows tell"
    odd = sorted(set(map(str, rows["status"])) - set(get_args(Status)))
    if odd or rows["status"].nunique() > 1:
        yield (
            f"status: got {', '.join(odd) or 'several'}, expected one of {get_args(Status)}",
            (_BY_HAND),
        )
    yield from _value_findings(rows)


def _value_findings(rows: "pd.DataFrame") -> Iterator[tuple[str, str]]:
    empty = rows[(rows["status"] == "ok") & rows["value"].isna()]
    if not empty.empty:
        first = empty.iloc[0]
        problem = f"{len(empty)} values are NaN, such as {first['suite']} {first['metric']}"
        yield problem, "no query chooses the run; look at its settings, or " + _RERUN
    if rows.duplicated([name for name in _MEASURED if name in rows]).any():
        yield "holds one measurement twice", _BY_HAND


def _key_findings(method: str, table: "pa.Table") -> Iterator[tuple[str, str]]:
    """Yield settings of methods that are none of the run's stages, as the path tells them."""
    stages = {
        name.split(".", 1)[0]
        for name, column in zip(table.column_names, table.columns, strict=True)
        if "." in name and column.null_count < len(column)
    }
    foreign = sorted(stages - set(method.split("+")))
    if foreign:
        yield (
            f"the path says method={method}, the rows have settings of {foreign}",
            ("move it to the folder of its own method"),
        )
