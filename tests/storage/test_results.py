"""A sweep whose results lie on S3, looked at with the server's own listing and other readers."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pandas as pd
import pytest

from distmerge.methods import HYPERS
from distmerge.results import RunStore
from distmerge.spec import ModelFiles, Study
from distmerge.sweep import export_run, run_sweep
from tests.storage.clients import client, keys
from tests.storage.server import WRITER, needs_s3
from tests.sweep.studies import console, rows_of, study_of

pytestmark = needs_s3
PIPELINES: list[dict[str, Any]] = [
    {"stages": ["weight_averaging"]},
    {"stages": ["task_arithmetic"], "trials": 2},
    {"stages": ["task_arithmetic", "surgery"], "settings": {"surgery.steps": 4}},
]


class Swept(NamedTuple):
    """A study whose results are on S3, and what its sweep printed and logged."""

    study: Study
    best: str
    said: str


@pytest.fixture(scope="module")
def swept(world: ModelFiles, s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Swept:
    """One sweep of the tiny world in this process, everything logged."""
    client().mkdir("swept")
    log = tmp_path_factory.mktemp("log") / "log"
    handler = logging.FileHandler(log)
    logging.getLogger().addHandler(handler)
    study = study_of(world, Path("-"), ray=False, pipelines=PIPELINES)
    study = study.model_copy(update={"storage": "s3://swept/deep/results"})
    shown = console()
    result = run_sweep(study, shown)
    logging.getLogger().removeHandler(handler)
    handler.close()
    assert result.best is not None
    assert result.failed == 0
    return Swept(study, result.best.run_id, f"{shown.file.getvalue()}{log.read_text()}")  # type: ignore[attr-defined]  # a StringIO


def test_the_rows_equal_those_of_a_local_folder(
    swept: Swept, world: ModelFiles, tmp_path: Path
) -> None:
    local = study_of(world, tmp_path, ray=False, pipelines=PIPELINES)
    run_sweep(local, console())
    pd.testing.assert_frame_equal(rows_of(swept.study), rows_of(local))


def test_every_key_is_a_file_of_the_sweep_and_no_row_is_near_a_marker(swept: Swept) -> None:
    found = keys(swept.study.storage)
    assert [key for key in found if key.endswith("/") and not key.startswith("_")] == []
    assert [key for key in found if key.startswith("_runs/") and not key.endswith("/")] == []
    assert sum(key.endswith(".parquet") for key in found) == 6  # four runs, two references
    assert {key.split("/")[0].partition("=")[0] for key in found} >= {"study", "_best", "_recipes"}
    assert all("=" in key or key.startswith("_") for key in found)


def test_a_second_sweep_adds_no_row(swept: Swept) -> None:
    before, rows = keys(swept.study.storage), rows_of(swept.study)
    run_sweep(swept.study, console())
    new = set(keys(swept.study.storage)) - set(before)
    assert {key.split("/")[0] for key in new} == {"_logs"}  # every sweep has a log of its own
    assert set(before) <= set(keys(swept.study.storage))
    pd.testing.assert_frame_equal(rows_of(swept.study), rows)


def test_pandas_reads_the_rows_without_our_code(swept: Swept, s3_endpoint: str) -> None:
    options = {"key": WRITER.key, "secret": WRITER.secret, "endpoint_url": s3_endpoint}
    frame = pd.read_parquet(swept.study.storage, storage_options=options)
    own = RunStore(swept.study.storage, HYPERS).records("tiny")
    assert len(frame) == len(own)
    assert set(frame["method"].astype(str)) == set(own["method"])


def test_duckdb_reads_the_rows_through_fsspec(swept: Swept) -> None:
    with duckdb.connect() as connection:  # its own httpfs would have to be downloaded
        connection.register_filesystem(client())
        files = f"{swept.study.storage}/study=*/*/*.parquet"
        (counted,) = connection.execute(
            "select count(distinct run_id) from read_parquet(?, hive_partitioning=true, "
            "union_by_name=true) where status = 'ok'",
            [files],
        ).fetchone()
    assert counted == 6


def test_a_model_is_exported_from_s3(swept: Swept, tmp_path: Path) -> None:
    folder = export_run(swept.best, swept.study.storage, to=tmp_path / "model")
    files = [path for path in folder.rglob("*") if path.is_file()]
    exported = {str(path.relative_to(folder)): path.read_bytes() for path in files}
    place = f"{swept.study.storage}/_best/tiny/{swept.best}"
    assert {name: client().cat_file(f"{place}/{name}") for name in keys(place)} == exported


def test_the_secret_is_in_no_object_and_in_no_line_of_the_log(swept: Swept) -> None:
    found = {
        key: client().cat_file(f"{swept.study.storage}/{key}") for key in keys(swept.study.storage)
    }
    assert [key for key, content in found.items() if WRITER.secret.encode() in content] == []
    assert WRITER.secret not in rows_of(swept.study).to_csv()
    assert WRITER.secret not in swept.said
