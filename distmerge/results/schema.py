"""The columns of the results table, and one record as rows of it."""

import types
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

from distmerge.errors import ConfigError, ResultsError, problem_list
from distmerge.results.record import RunRecord
from distmerge.spec import Hyper, Value

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

SCHEMA_VERSION = 1

# Study and method are the partition keys: they stand in the path, not in the files.
PARTITION_COLUMNS: tuple[str, ...] = ("study", "method")

# Names of Arrow types; ``time`` is a UTC timestamp in microseconds.
FIXED_COLUMNS: Mapping[str, str] = {
    "run_id": "string",
    "seed": "int64",
    "trial_id": "string",
    "attempt": "int64",
    "status": "string",
    "error": "string",
    "protocol": "string",
    "suite": "string",
    "corruption": "string",
    "severity": "int64",
    "level": "string",
    "task": "string",
    "metric": "string",
    "value": "float64",
    "step": "int64",
    "num_tasks": "int64",
    "backbone": "string",
    "base_digest": "string",
    "checkpoint_digests": "string",
    "data_digest": "string",
    "bank": "string",
    "precision": "string",
    "adapt_images": "int64",
    "wall_s": "float64",
    "gpu_s": "float64",
    "peak_memory_bytes": "int64",
    "started_at": "time",
    "package_version": "string",
    "git_commit": "string",
    "torch_version": "string",
    "schema_version": "int64",
}

KINDS: Mapping[frozenset[type], str] = {
    frozenset({bool}): "bool",
    frozenset({int}): "int64",
    frozenset({float}): "float64",
    frozenset({int, float}): "float64",
    frozenset({str}): "string",
}


def columns(hypers: Mapping[str, type[Hyper]]) -> dict[str, str]:
    """Give the columns of a file: the fixed ones, then ``method.field`` of every method.

    Raises:
        ConfigError: lists the hyperparameters whose type has no column.
    """
    found = dict(FIXED_COLUMNS)
    problems = []
    for method, hyper in hypers.items():
        for name, field in hyper.model_fields.items():
            kind = KINDS.get(frozenset(_kinds(field.annotation)))
            if kind is None:
                problems.append(f"{method}.{name}: got {field.annotation}")
            else:
                found[f"{method}.{name}"] = kind
    if problems:
        title = "hyperparameters without a Parquet column (expected bool, int, float or str)"
        raise ConfigError(problem_list(title, problems))
    return found


def _kinds(annotation: Any) -> Iterator[type]:
    """Yield the plain types that a field's annotation admits, ``None`` left out."""
    origin = get_origin(annotation)
    if origin is Literal:
        yield from (type(value) for value in get_args(annotation))
    elif origin is Annotated:
        yield from _kinds(get_args(annotation)[0])
    elif origin in {Union, types.UnionType}:
        for option in get_args(annotation):
            yield from _kinds(option)
    elif annotation is not types.NoneType:
        yield annotation


def arrow_schema(hypers: Mapping[str, type[Hyper]]) -> "pa.Schema":
    """Give the schema of a file, the same for every method of one package version.

    Raises:
        ConfigError: lists the hyperparameters whose type has no column.
    """
    import pyarrow as pa

    return pa.schema(
        (name, pa.timestamp("us", tz="UTC") if kind == "time" else pa.type_for_alias(kind))
        for name, kind in columns(hypers).items()
    )


def arrow_table(record: RunRecord, hypers: Mapping[str, type[Hyper]]) -> "pa.Table":
    """Give a record as rows, one per metric; a record without metrics is one row.

    Raises:
        ConfigError: lists the hyperparameters whose type has no column.
        ResultsError: lists the values of the record that no column can hold.
    """
    import pyarrow as pa

    problems = list(_problems(record, columns(hypers)))
    if problems:
        raise ResultsError(problem_list(f"record of run {record.run_id}", problems))
    constants = asdict(record) | dict(record.hyper) | {"schema_version": SCHEMA_VERSION}
    metrics = [metric._asdict() for metric in record.metrics] or [{}]
    # Columns that a row does not name are null; names that are no columns are dropped.
    return pa.Table.from_pylist(
        [constants | metric for metric in metrics], schema=arrow_schema(hypers)
    )


def record_rows(record: RunRecord, hypers: Mapping[str, type[Hyper]]) -> "pd.DataFrame":
    """Give a record's rows as ``load`` gives those that are stored.

    Raises:
        ConfigError: lists the hyperparameters whose type has no column.
        ResultsError: lists the values of the record that no column can hold.
    """
    rows: pd.DataFrame = arrow_table(record, hypers).to_pandas()
    return rows.assign(study=record.study, method=record.stages)


def _problems(record: RunRecord, known: Mapping[str, str]) -> Iterator[str]:
    if record.started_at.tzinfo is None:
        yield f"started_at: got {record.started_at} without a time zone, expected UTC"
    for name, value in record.hyper.items():
        if name not in known:
            yield f"{name}: no such hyperparameter column"
        elif not _fits(value, known[name]):
            yield f"{name}: got {value!r} ({type(value).__name__}), expected {known[name]}"


def _fits(value: Value, kind: str) -> bool:
    # Arrow itself would cut 1.5 to 1 and take True for 1.0.
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    wanted = {"int64": int, "float64": int | float, "string": str}[kind]
    return isinstance(value, wanted)
