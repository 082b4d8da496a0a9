"""The columns, and what no column can hold."""

from dataclasses import replace
from datetime import datetime
from typing import Literal

import pyarrow as pa
import pytest
from pydantic import PositiveFloat

from distmerge.errors import ConfigError, ResultsError
from distmerge.results import Metric
from distmerge.results.schema import arrow_schema, arrow_table, columns
from distmerge.spec import Hyper, Value
from tests.results.records import FAILED, RECORD
from tests.spec.hypers import HYPERS


class Every(Hyper):
    """A hyperparameter of every kind."""

    flag: bool = True
    count: int = 1
    rate: PositiveFloat = 0.5
    limit: PositiveFloat | None = None
    either: int | float = 1
    name: str = "a"
    mode: Literal["a", "b"] = "a"
    size: Literal[1, 2] | None = None


class Nested(Hyper):
    """Hyperparameters that no column can hold."""

    rates: tuple[float, ...] = ()
    mixed: Literal["a", 1] = "a"
    fine: int = 0


def test_the_fixed_columns_are_those_of_the_design() -> None:
    assert " ".join(columns({})) == (
        "run_id seed trial_id attempt status error protocol suite corruption severity level "
        "task metric value step num_tasks backbone base_digest checkpoint_digests data_digest "
        "bank precision adapt_images wall_s gpu_s peak_memory_bytes started_at package_version "
        "git_commit torch_version schema_version"
    )


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("flag", pa.bool_()),
        ("count", pa.int64()),
        ("rate", pa.float64()),
        ("limit", pa.float64()),
        ("either", pa.float64()),
        ("name", pa.string()),
        ("mode", pa.string()),
        ("size", pa.int64()),
    ],
)
def test_a_hyperparameter_gives_a_column_of_its_type(field: str, kind: pa.DataType) -> None:
    assert arrow_schema({"every": Every}).field(f"every.{field}").type == kind


def test_hyperparameters_without_a_column_are_all_named() -> None:
    with pytest.raises(ConfigError, match=r"(?s)nested\.rates.*nested\.mixed"):
        columns({"nested": Nested})


def test_every_record_has_the_same_schema_whatever_its_stages() -> None:
    other = replace(RECORD, stages="fixer", hyper={"fixer.rank": 1})
    assert arrow_table(RECORD, HYPERS).schema == arrow_table(other, HYPERS).schema


def test_the_partition_keys_are_not_repeated_in_the_file() -> None:
    assert not {"study", "stages", "method"} & set(arrow_table(RECORD, HYPERS).column_names)


def test_there_is_one_row_per_metric() -> None:
    table = arrow_table(RECORD, HYPERS)
    read = [Metric(**row) for row in table.select(Metric._fields).to_pylist()]
    assert tuple(read) == RECORD.metrics


def test_a_record_without_metrics_is_one_row_with_its_error() -> None:
    (row,) = arrow_table(FAILED, HYPERS).to_pylist()
    assert [row[name] for name in ("status", "error", "suite", "task", "metric", "value")] == [
        "error", "lr too high", None, None, None, None,
    ]  # fmt: skip


def test_a_hyperparameter_of_another_stage_is_null() -> None:
    table = arrow_table(replace(RECORD, hyper={"fixer.rank": 1}), HYPERS)
    assert table["learner.lr"].null_count == table.num_rows


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learner.steps", 1.5),
        ("learner.steps", True),
        ("learner.lr", True),
        ("learner.lr", "fast"),
        ("learner.clamp", 1),
        ("learner.mode", 1),
        ("learner.unknown", 1),
    ],
)
def test_a_value_that_does_not_fit_its_column_is_an_error(name: str, value: Value) -> None:
    with pytest.raises(ResultsError, match=name):
        arrow_table(replace(RECORD, hyper={name: value}), HYPERS)


def test_all_problems_of_a_record_are_listed_at_once() -> None:
    naive = datetime(2026, 1, 1)  # noqa: DTZ001  # what the test is about
    with pytest.raises(ResultsError, match=r"(?s)started_at.*time zone.*learner\.speed"):
        arrow_table(replace(RECORD, started_at=naive, hyper={"learner.speed": 1}), HYPERS)


def test_a_whole_number_is_stored_in_a_float_column() -> None:
    table = arrow_table(replace(RECORD, hyper={"learner.lr": 1}), HYPERS)
    assert table["learner.lr"][0].as_py() == 1.0
